"""Records: the small JSON files of a data folder, by which programs find each other and exchange their status."""

from __future__ import annotations

import datetime as dt

import msgspec


class Login(msgspec.Struct, frozen=True):
    """A user of the embedded server; the content of service.json."""

    user: str
    password: str


class Endpoint(msgspec.Struct, frozen=True):
    """Address of the embedded server and login of its producers; the content of server.json."""

    url: str
    user: str
    password: str
    pid: int
    monitor: str = ""
    """Base address of the server's own health endpoint; empty in files of older versions."""


class DashboardStatus(msgspec.Struct, frozen=True):
    """Address of the page; the content of dashboard.json."""

    pid: int
    http: str
    """Its address; empty while there is none."""
    stopped: str | None = None
    """Reason it could not start."""
    open: bool = False
    """True if it asks for no token."""


class ProjectorStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Status of the projector; the content of status.json. Times are Unix seconds."""

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
    """Reason it stopped, if it did."""
    restarts: int = 0
    """Consecutive restarts soon after a failure."""
    problems: tuple[str, ...] = ()
    """Problems while it runs, with their remedies."""


class ArchivedStream(msgspec.Struct, frozen=True, omit_defaults=True):
    """The stream that log.db is a copy of; the content of stream.json. Relays look here before they send."""

    epoch: str
    server: str
    """As `destinations.server_key` names it."""
    shard: int = 0


class RestoredLog(msgspec.Struct, frozen=True):
    """A log.db from a backup, with a stream that was written from it; the content of restored.json."""

    position: int
    leaves: int
    """Of the audit tree then: any larger tree may have been signed before."""
    public_key: str
    """Of the key that may have signed one, hexadecimal: it signs under another name from then on."""
    root: str = ""
    """Of the tree then, hexadecimal; empty in files of older versions."""


class LastVerify(msgspec.Struct, frozen=True, kw_only=True):
    """Last result of `runlore audit verify`; the content of verified.json. Not evidence: a file like any other."""

    at: float
    """End of the verification, Unix seconds."""
    position: int
    """Everything up to here was verified."""
    leaves: int
    root: str
    """Of the tree recomputed from raw bytes, hexadecimal."""
    checkpoints: int
    """Signed checkpoints that hold."""
    outside: int
    """Checkpoints that were kept outside the data folder."""
    own_key: bool
    """True if signatures were checked with the data folder's own key because no other was given."""
    messages: int | None
    """Messages compared with JetStream; None when it was not asked."""
    view: bool
    """True if the view was compared with a replay."""
    not_compared: dict[str, str]
    """Parts that were not compared (stream, view), with the reason."""
    problems: list[str]
    """Problems found."""

    @property
    def ended(self) -> dt.datetime:
        """Return the end of the verification, UTC."""
        return dt.datetime.fromtimestamp(self.at, dt.UTC)


class SnapshotInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A view as it was at one event, in the bucket for replicas; this description is stored with it."""

    epoch: str
    """Of the stream that the view was folded from."""
    position: int
    """Everything up to here is in it."""
    fold_version: int
    view_schema: int
    leaves: int
    """Of the audit tree at that position."""
    root: str
    """Of that tree, hexadecimal."""
    view_bytes: int
    """Size of the view's file."""
    tables: dict[str, str]
    """The canonical digest: SHA-256 of each table, hexadecimal."""
    made: float
    """Unix seconds."""
    library: str
    """Version of Runlore that made it."""
    format: int = 1
    erased: int = 0
    """The newest erasure that it knows, as the view notes it: what was erased since is still in it."""


class LastSnapshot(msgspec.Struct, frozen=True, kw_only=True):
    """The last snapshot that was made in this folder; the content of snapshot.json."""

    snapshot: SnapshotInfo
    stored_bytes: int
    seconds: float
    """Time it took to make and store it."""


class ReplicaMark(msgspec.Struct, frozen=True, omit_defaults=True):
    """That a folder is a replica, and where its view began; the content of replica.json."""

    epoch: str | None
    """Of the stream that it follows; None before the first view."""
    snapshot: SnapshotInfo | None
    """None if the view was folded from the first event on."""
    shard: int = 0
    """Of that stream."""


class BackupMade(msgspec.Struct, frozen=True):
    """A backup of this folder."""

    folder: str
    made: str
    """ISO 8601."""
    position: int
    """Everything up to here is in it."""


class BackupsMade(msgspec.Struct, frozen=True):
    """The backups that were made of this folder; the content of backups.json."""

    backups: list[BackupMade] = []


class Erasing(msgspec.Struct, frozen=True, kw_only=True):
    """Result of an erasure, or of a dry run."""

    erased: bool
    """False for a dry run."""
    events: list[int]
    """Positions of the events that hold the content."""
    values: int
    about: list[str]
    """The entities whose content it is; of quarantined events the subjects."""
    unsalted: int
    """Events without a salt: who knows the rest of one can try values against the hash that stays."""
    left: list[str]
    """Where the content still is, and what removes it from there; empty for a dry run."""
