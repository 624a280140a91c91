"""What the API answers with. Values are exact where JSON is; beside each stands its type."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec

from runlore.query.evidence import Gap
from runlore.store.records import LastVerify


class Value(msgspec.Struct, frozen=True):
    """One value: its type name, and it as JSON; what JSON cannot say exactly (NaN, sets, dates, integers over
    2^53) is readable text.
    """

    type: str
    value: Any


class Author(msgspec.Struct, frozen=True):
    """Who logged something."""

    user: str
    host: str
    pid: int
    library: str


class EntryOut(msgspec.Struct, frozen=True, omit_defaults=True):
    """One value of one leaf at one position."""

    path: str
    value: Value
    position: int
    created: dt.datetime
    occurred_at: dt.datetime
    event_id: str
    actor: Author
    run: str | None = None
    step: str | None = None
    reason: str | None = None
    previous: Value | None = None


class EntityRow(msgspec.Struct, frozen=True):
    """An entity in a list."""

    reference: str
    kind: str
    name: str
    version: str | None
    created_position: int
    created: dt.datetime | None
    fields: dict[str, Value]


class EntityPage(msgspec.Struct, frozen=True):
    """A page of entities; `cursor` is for the next one, null at the end."""

    entities: list[EntityRow]
    cursor: str | None
    position: int


class EntityOut(msgspec.Struct, frozen=True):
    """An entity with the entry of every leaf, complete to `position`."""

    entity: EntityRow
    entries: list[EntryOut]
    notes: list[EntryOut]
    position: int


class HistoryPage(msgspec.Struct, frozen=True):
    """Entries of a key, newest first; `before` is for the next page."""

    entries: list[EntryOut]
    before: int | None
    position: int


class SeriesOut(msgspec.Struct, frozen=True):
    """Numbers of a leaf, oldest first; null where one is not finite. With `points` the whole past of the leaf, thinned:
    also its other entries (null), the number of each entry in the past (from 1), its type (`retracted` and `removed`
    where it ended), and how many numbers there are in all.
    """

    path: str
    positions: list[int]
    times: list[float]
    values: list[float | None]
    entries: list[int] | None = None
    types: list[str] | None = None
    total: int | None = None


class Moment(msgspec.Struct, frozen=True):
    """A position of the log and when it was recorded."""

    position: int
    recorded_at: dt.datetime | None
    head: int


class Status(msgspec.Struct, frozen=True):
    """Where the log stands and what there is."""

    project: str
    projects: list[str]
    kinds: dict[str, int]
    position: int
    lag: int | None
    recorded_at: dt.datetime | None


class DifferenceOut(msgspec.Struct, frozen=True):
    """One leaf at two moments or of two entities."""

    path: str
    change: str
    before: Value | None
    after: Value | None
    delta: float | None
    relative: float | None


class Differences(msgspec.Struct, frozen=True):
    """Every leaf that is not equal, or all of them."""

    differences: list[DifferenceOut]
    position: int


class ComparisonRow(msgspec.Struct, frozen=True):
    """One leaf: a value for each column, null where it is absent."""

    path: str
    values: list[Value | None]
    differs: bool
    best: list[int]


class ComparisonOut(msgspec.Struct, frozen=True):
    """A table of leaves by columns."""

    columns: list[str]
    rows: list[ComparisonRow]
    position: int


class EventOut(msgspec.Struct, frozen=True):
    """One event as it touched one entity."""

    position: int
    reference: str
    fact: str
    created: dt.datetime
    event_id: str
    actor: Author
    run: str | None
    step: str | None
    metadata: list[EntryOut]
    fields: list[EntryOut]


class Trail(msgspec.Struct, frozen=True):
    """Events, newest first; `before` is for the next page."""

    events: list[EventOut]
    before: int | None
    position: int


class LineageEdge(msgspec.Struct, frozen=True):
    """`source` produced, consumed, made, used or ran `target`."""

    source: str
    relation: str
    target: str
    position: int


class LineageOut(msgspec.Struct, frozen=True):
    """References, and the links between them."""

    root: str
    direction: str
    nodes: list[str]
    edges: list[LineageEdge]
    cut: bool


class HitOut(msgspec.Struct, frozen=True):
    """One place where the words stand."""

    reference: str
    scope: str
    path: str | None
    snippet: str
    score: float


class Hits(msgspec.Struct, frozen=True):
    """Hits, the best first."""

    hits: list[HitOut]
    position: int


class Quarantined(msgspec.Struct, frozen=True):
    """An event that could not be folded; its bytes in base64."""

    position: int
    event_id: str | None
    subject: str
    stage: str
    error: str
    payload: bytes


class ProofStep(msgspec.Struct, frozen=True):
    """One hash of a proof of inclusion, from the leaf up; hashes in hexadecimal."""

    sibling: str
    on_left: bool
    gives: str


class CheckpointOut(msgspec.Struct, frozen=True):
    """The newest signed checkpoint; its signature was not checked here. The root is in hexadecimal."""

    origin: str
    size: int
    root: str
    note: str
    signers: list[str]
    created: dt.datetime


class ProofOut(msgspec.Struct, frozen=True):
    """That the event is in the log of the checkpoint (RFC 6962, 2.1.1)."""

    index: int
    leaf: str
    steps: list[ProofStep]
    checkpoint: CheckpointOut


class LoggedEventOut(msgspec.Struct, frozen=True):
    """One event as it was archived: headers and payload in base64, and decoded where that is possible."""

    position: int
    event_id: str | None
    recorded_at: dt.datetime
    subject: str
    headers: bytes
    payload: bytes
    duplicate_of: int | None
    event: dict[str, Any] | None
    decode_error: str | None
    proof: ProofOut | None
    unproved: str | None
    tampered: bool


class AuditOut(msgspec.Struct, frozen=True):
    """How far the log is archived and signed, as of now."""

    epoch: str
    position: int
    leaves: int
    root: str
    checkpoints: int
    checkpoint: CheckpointOut | None
    gaps: list[Gap]
    verify: LastVerify | None


class Problem(msgspec.Struct, frozen=True):
    """What was wrong with a request; `near` are references called alike."""

    error: str
    near: list[str]
