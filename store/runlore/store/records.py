"""Records: the small JSON files of a data folder, in which programs tell each other where and how they are."""

from __future__ import annotations

import datetime as dt

import msgspec


class Endpoint(msgspec.Struct, frozen=True):
    """How to reach the embedded server; the content of server.json."""

    url: str
    user: str
    password: str
    pid: int
    monitor: str = ""
    """Base address of the server's own health endpoint; empty in files of older versions."""


class DashboardStatus(msgspec.Struct, frozen=True):
    """Where the page is; the content of dashboard.json."""

    pid: int
    http: str
    """Its address; empty while there is none."""
    stopped: str | None = None
    """Why it could not start."""


class ProjectorStatus(msgspec.Struct, frozen=True, kw_only=True):
    """What the projector last said of itself; the content of status.json. Times are Unix seconds."""

    pid: int
    http: str
    """Base address of the health endpoints; empty when they could not start."""
    connected: bool
    stream_last: int
    """Last sequence of the stream when last asked."""
    archived: int
    """The highest position ever archived in this folder: log.db may be an older copy since."""
    folded: int
    quarantined: int
    updated: float
    stopped: str | None = None
    """Why it stopped, if it did."""
    restarts: int = 0
    """How often in a row it was started soon after it had failed."""
    problems: tuple[str, ...] = ()
    """What is wrong although it runs, and what to do about it."""


class ArchivedStream(msgspec.Struct, frozen=True):
    """Which stream log.db is a copy of; the content of stream.json. Relays look here before they send."""

    epoch: str
    server: str
    """As `destinations.server_key` names it."""


class LastVerify(msgspec.Struct, frozen=True, kw_only=True):
    """What `runlore audit verify` last found; the content of verified.json. Not evidence: a file like any other."""

    at: float
    """When it ended, Unix seconds."""
    position: int
    """Everything up to here was verified."""
    leaves: int
    root: str
    """Of the tree recomputed from raw bytes, hexadecimal."""
    checkpoints: int
    """Signed checkpoints that hold."""
    outside: int
    """How many of them were kept outside the data folder."""
    own_key: bool
    """Whether signatures were checked with the data folder's own key, for want of another."""
    messages: int | None
    """Messages compared with JetStream; None when it was not asked."""
    view: bool
    """Whether the view was compared with a replay."""
    not_compared: dict[str, str]
    """What was not compared (stream, view), and why."""
    problems: list[str]
    """What is wrong, empty when all is well."""

    @property
    def ended(self) -> dt.datetime:
        """When it ended, UTC."""
        return dt.datetime.fromtimestamp(self.at, dt.UTC)
