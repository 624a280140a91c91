"""Results of verification."""

from __future__ import annotations

from typing import Literal

import msgspec

AuditPart = Literal["log", "tree", "checkpoint", "stream", "view"]


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """The first problem in one part, with its location."""

    place: AuditPart
    what: str
    position: int | None = None
    """The position in the log, if it has one."""
    table: str | None = None
    row: str | None = None
    """The primary key of the view's row."""


class StreamReport(msgspec.Struct, frozen=True, kw_only=True):
    """Result of comparing the log with JetStream."""

    compared: int
    """Messages compared byte by byte."""
    log_messages: int
    stream_messages: int
    """All messages that the stream holds."""
    not_archived: int = 0
    """Messages of the stream after the end of the log."""
    note: str | None = None
    """Reason the log may be behind, if it is worth a look but not proof of a fault."""


class VerifyReport(msgspec.Struct, kw_only=True):
    """Result of a verification; the content of `audit verify --json`."""

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
    erased: int = 0
    """Events from which values were erased; each has its erasure in the log."""
    gaps: int = 0
    leaves: int = 0
    root: str = ""
    """Of the tree recomputed from raw bytes, hexadecimal."""
    checkpoints: int = 0
    """Signed checkpoints that hold, outside ones included."""
    signed: int = 0
    """Leaves under the largest of them."""
    outside: int = 0
    """Checkpoints that came from outside the data folder."""
    key_changes: list[str] = []
    """What the log says about its signing keys, in order."""
    actor_keys: list[str] = []
    """Its statements about keys of actors, in order; those that no trusted key has signed have no effect."""
    witnessed: int | None = None
    """Leaves under the newest checkpoint that the witness policy is content with; None: no policy was given."""
    stamped: int | None = None
    """Leaves under the newest checkpoint with a time stamp of the given authority; None: none was given."""
    stamped_at: str | None = None
    """When the authority has seen it."""
    stream: StreamReport | None = None
    view: dict[str, str] | None = None
    """Canonical digest of each of the view's tables, as the log replays them."""
    not_compared: dict[str, str] = {}
    """Parts that were not compared (stream, view), with the reason."""
    problems: list[Problem] = []
