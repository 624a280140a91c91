"""Answers of the API. Values are exact where JSON can express them, and have their type beside them."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

import msgspec

from runlore.query.compare.diff import ChangeKind
from runlore.query.evidence import Gap
from runlore.query.view.links import Relation
from runlore.schemas.signatures import Standing
from runlore.store.records import LastVerify


class ValueOut(msgspec.Struct, frozen=True):
    """One value: its type name, and the value as JSON; what JSON cannot express exactly (NaN, sets, dates, integers
    over 2^53) is text.
    """

    type: str
    value: Any


class Author(msgspec.Struct, frozen=True):
    """The process that logged an event."""

    user: str
    host: str
    pid: int
    library: str


class SignerOut(msgspec.Struct, frozen=True):
    """The key that signed an event, and whose it was there: `proved` for a registered actor."""

    key: str
    standing: Standing
    actor: str | None


class EntryOut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One value of one key, logged by the event `position`. `type` names the type of the value, or how the key ended
    (`removed`, `retracted`); `created` is when the log recorded it. In a history, `previous` is the value before.
    """

    value: Any
    type: str
    key: str
    path: str
    position: int
    created: dt.datetime
    occurred_at: dt.datetime
    event_id: str
    actor: Author
    run: str | None
    step: str | None
    reason: str | None
    previous: Any
    previous_type: str | None
    at_step: int | None
    signer: SignerOut | None


class EntityRow(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An entity in a list, created by the event `created_position`."""

    reference: str
    project: str
    kind: str
    name: str
    version: str | None
    created: dt.datetime | None
    created_position: int
    fields: dict[str, Any]


class EntityPage(msgspec.Struct, frozen=True):
    """A page of entities; `cursor` leads to the next page, null at the end."""

    entities: list[EntityRow]
    cursor: str | None
    position: int


class EntityOut(EntityRow, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """An entity with the latest entry of each key, complete up to the event `position`."""

    position: int
    metadata: dict[str, EntryOut]
    notes: list[EntryOut]


class BlamePage(msgspec.Struct, frozen=True):
    """The latest entry of each path of an entity."""

    reference: str
    position: int
    entries: list[EntryOut]


class HistoryPage(msgspec.Struct, frozen=True):
    """Entries of a key, newest first; `before` leads to the next page, null at the end."""

    entries: list[EntryOut]
    before: int | None
    position: int


class SeriesOut(msgspec.Struct, frozen=True):
    """Numbers of a key, oldest first; null where one is not finite. `steps`: where each was logged on the training's
    own axis, null where that was not said. With `points` the whole history, downsampled: also entries that are no
    numbers (null), the index of each entry in the history (from 1), its type (`retracted` or `removed` where it ended),
    and the total count of numbers.
    """

    path: str
    positions: list[int]
    times: list[float]
    values: list[float | None]
    steps: list[int | None]
    entries: list[int] | None = None
    types: list[str] | None = None
    total: int | None = None


class MomentOut(msgspec.Struct, frozen=True):
    """An event and when it was recorded; `head` is the latest event."""

    position: int
    recorded_at: dt.datetime | None
    head: int


class Status(msgspec.Struct, frozen=True):
    """The project, its entities, and how far the log can be read."""

    project: str
    projects: list[str]
    kinds: dict[str, int]
    position: int
    lag: int | None
    recorded_at: dt.datetime | None


class DifferenceOut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One path at two moments or of two entities; the type of an absent value is null."""

    path: str
    change: ChangeKind
    before: Any
    after: Any
    delta: Any
    relative: float | None
    before_type: str | None
    after_type: str | None


class Side(msgspec.Struct, frozen=True):
    """One side of a comparison of two."""

    reference: str
    position: int


class DifferencesOut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Paths that differ, or all of them."""

    before: Side
    after: Side
    position: int
    differences: list[DifferenceOut]


class ComparisonRow(msgspec.Struct, frozen=True):
    """One key: a value for each column, null where it is absent."""

    path: str
    values: list[ValueOut | None]
    differs: bool
    best: list[int]


class ComparisonOut(msgspec.Struct, frozen=True):
    """A table: keys by columns."""

    columns: list[str]
    rows: list[ComparisonRow]
    position: int


class EventOut(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One event, and its changes to one entity."""

    position: int
    reference: str
    type: str
    created: dt.datetime
    occurred_at: dt.datetime
    event_id: str
    actor: Author
    run: str | None
    step: str | None
    at_step: int | None
    metadata: list[EntryOut]
    fields: list[EntryOut]
    signer: SignerOut | None


class Trail(msgspec.Struct, frozen=True):
    """Events, newest first; `before` leads to the next page, null at the end."""

    events: list[EventOut]
    before: int | None
    position: int


class LineageEdge(msgspec.Struct, frozen=True):
    """`source` produced, consumed, made, used or ran `target`."""

    source: str
    relation: Relation
    target: str
    position: int


class LineageOut(msgspec.Struct, frozen=True):
    """References of entities, and the links between them."""

    root: str
    direction: Literal["upstream", "downstream"]
    nodes: list[str]
    edges: list[LineageEdge]
    cut: bool


class HitOut(msgspec.Struct, frozen=True):
    """One name, key or value that contains the words."""

    reference: str
    scope: Literal["name", "metadata", "field"]
    path: str | None
    snippet: str
    score: float


class Hits(msgspec.Struct, frozen=True):
    """Search results, the best first."""

    hits: list[HitOut]
    position: int


class Quarantined(msgspec.Struct, frozen=True):
    """An event that could not be decoded or applied; its bytes in base64."""

    position: int
    event_id: str | None
    subject: str
    stage: Literal["decode", "signature", "fold", "conflict"]
    error: str
    payload: bytes


class ProofStep(msgspec.Struct, frozen=True):
    """One step of a proof of inclusion, from the leaf to the root; hashes in hexadecimal."""

    sibling: str
    on_left: bool
    gives: str


class CheckpointOut(msgspec.Struct, frozen=True):
    """The latest signed checkpoint; its signature was not checked. The root is in hexadecimal."""

    origin: str
    size: int
    root: str
    note: str
    signers: list[str]
    created: dt.datetime


class ProofOut(msgspec.Struct, frozen=True):
    """A proof that the event is in the log of the checkpoint (RFC 6962, 2.1.1)."""

    index: int
    leaf: str
    steps: list[ProofStep]
    checkpoint: CheckpointOut


class LoggedEventOut(msgspec.Struct, frozen=True):
    """One archived event: decoded (or with the `error` why it cannot be), its headers and payload in base64, and its
    proof.
    """

    event: dict[str, Any]
    headers: bytes
    payload: bytes
    proof: ProofOut | None
    unproved: str | None
    tampered: bool


class AuditOut(msgspec.Struct, frozen=True):
    """Archived and signed part of the log, in the latest state."""

    epoch: str
    position: int
    leaves: int
    root: str
    checkpoints: int
    checkpoint: CheckpointOut | None
    gaps: list[Gap]
    verify: LastVerify | None


class Problem(msgspec.Struct, frozen=True):
    """An error; `near`: references with similar names."""

    error: str
    near: list[str]
