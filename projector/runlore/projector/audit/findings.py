"""What verification reports."""

from __future__ import annotations

from typing import Literal

import msgspec

Place = Literal["log", "tree", "checkpoint", "stream", "view"]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """The first thing that is wrong in one place, and where."""

    place: Place
    what: str
    position: int | None = None
    """The position in the log, if it has one."""
    table: str | None = None
    row: str | None = None
    """The primary key of the view's row."""


class StreamReport(msgspec.Struct, frozen=True, kw_only=True):
    """How the log compares with JetStream."""

    compared: int
    """Messages compared byte by byte."""
    log_messages: int
    stream_messages: int
    """All messages that the stream holds."""
    not_archived: int = 0
    """How many of them come after the log's position."""
    note: str | None = None
    """Why the log may be behind, when that is worth a look and no proof of a fault."""


class VerifyReport(msgspec.Struct, kw_only=True):
    """What was verified, and what is wrong; the content of `audit verify --json`."""

    log: str
    epoch: str
    position: int
    """Everything up to here was verified."""
    events: int = 0
    duplicates: int = 0
    conflicts: int = 0
    """Events with the ID of an earlier one and other content: in the log and in quarantine, without effect."""
    first_conflict: int | None = None
    """The position of the first of them."""
    gaps: int = 0
    leaves: int = 0
    root: str = ""
    """Of the tree recomputed from raw bytes, hexadecimal."""
    checkpoints: int = 0
    """Signed checkpoints that hold, outside ones included."""
    signed: int = 0
    """Leaves under the largest of them."""
    outside: int = 0
    """How many of them came from outside the data folder."""
    stream: StreamReport | None = None
    view: dict[str, str] | None = None
    """Canonical digest of each of the view's tables, as the log replays them."""
    not_compared: dict[str, str] = {}
    """What was not compared (stream, view), and why."""
    problems: list[Problem] = []
