"""The answers of the tools, under the names of docs/json.md; their schemas are generated from these types."""

from __future__ import annotations

import datetime as dt
from typing import Any, Literal

import msgspec


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Base of all answers: complete up to the event `position`."""

    position: int


class Page(Answer, frozen=True, kw_only=True):
    """An answer in pages; `cursor` leads to the next one, null at the end."""

    cursor: str | None


class KindCount(msgspec.Struct, frozen=True):
    """A kind of entity and the number of entities."""

    kind: str
    count: int


class KindsOut(Answer, frozen=True, kw_only=True):
    """Kinds of entities in the project."""

    project: str
    recorded_at: dt.datetime
    kinds: list[KindCount]


class KeyCount(msgspec.Struct, frozen=True):
    """A path or field, the type of its values, and how many of the entities looked at have it."""

    path: str
    type: str
    count: int


class KeysOut(Page, frozen=True, kw_only=True):
    """Paths and fields of the newest entities of a kind (`entities` of them were looked at)."""

    kind: str
    entities: int
    keys: list[KeyCount]


class Person(msgspec.Struct, frozen=True):
    """Who logged an event, and from where."""

    user: str
    host: str
    pid: int
    library: str


class SignerOut(msgspec.Struct, frozen=True):
    """The key that signed an event, and whose it was there: `proved` for a registered actor."""

    key: str
    standing: str
    actor: str | None


class EntryOut(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One value of one key, by whom and when; `actor` is claimed unless there is a `signer`."""

    value: Any
    type: str
    key: str
    path: str
    position: int
    created: dt.datetime
    occurred_at: dt.datetime
    event_id: str
    actor: Person
    run: str | None
    step: str | None
    reason: str | None
    previous: Any
    previous_type: str | None
    at_step: int | None
    signer: SignerOut | None


class EntityOut(msgspec.Struct, frozen=True, kw_only=True):
    """An entity; `values` are those of the `columns` that were asked for."""

    reference: str
    project: str
    kind: str
    name: str
    version: str | None
    created: dt.datetime | None
    created_position: int
    fields: dict[str, Any]
    values: dict[str, Any] | None = None


class FoundOut(Page, frozen=True, kw_only=True):
    """Entities, in order."""

    entities: list[EntityOut]


class WholeOut(Page, frozen=True, kw_only=True):
    """An entity with the latest entry of each key, and its newest notes."""

    entity: EntityOut
    metadata: dict[str, EntryOut]
    notes: list[EntryOut]


class EntriesOut(Page, frozen=True, kw_only=True):
    """Entries of one entity."""

    reference: str
    entries: list[EntryOut]


class SideOut(msgspec.Struct, frozen=True):
    """One side of a diff, as of an event."""

    reference: str
    position: int


class DifferenceOut(msgspec.Struct, frozen=True, kw_only=True):
    """One path whose values differ; the type of an absent value is null."""

    path: str
    change: Literal["added", "removed", "changed", "equal"]
    before: Any
    after: Any
    delta: Any
    relative: float | None
    before_type: str | None
    after_type: str | None


class DifferencesOut(Page, frozen=True, kw_only=True):
    """What was added, removed and changed from `before` to `after`."""

    before: SideOut
    after: SideOut
    differences: list[DifferenceOut]


class RowOut(msgspec.Struct, frozen=True):
    """One path: its value in each entity, null where `present` is false; indexes of the best."""

    path: str
    values: list[Any]
    present: list[bool]
    differs: bool
    best: list[int]


class ComparisonOut(Page, frozen=True, kw_only=True):
    """A table of paths by entities."""

    references: list[str]
    rows: list[RowOut]


class EdgeOut(msgspec.Struct, frozen=True):
    """`source` produced, consumed, made, used or ran `target`."""

    source: str
    relation: str
    target: str
    position: int


class LineageOut(Answer, frozen=True, kw_only=True):
    """Entities, the nearest first, and the links between them; `cut`: there are more."""

    root: str
    direction: Literal["upstream", "downstream"]
    nodes: list[str]
    edges: list[EdgeOut]
    cut: bool


class HitOut(msgspec.Struct, frozen=True):
    """One name, key or text that has the words."""

    reference: str
    scope: Literal["name", "metadata", "field"]
    path: str | None
    snippet: str
    score: float


class HitsOut(Answer, frozen=True, kw_only=True):
    """Hits, the best first."""

    hits: list[HitOut]


class CheckpointOut(msgspec.Struct, frozen=True, kw_only=True):
    """The newest signed checkpoint. Its signature was not checked here: `runlore audit verify` does."""

    origin: str
    size: int
    root: str
    note: str
    signers: list[str]
    created: dt.datetime


class ProofOut(msgspec.Struct, frozen=True):
    """The leaf of the event in the tree of the checkpoint (RFC 6962), hashes in hexadecimal."""

    index: int
    leaf: str
    siblings: list[str]
    checkpoint: CheckpointOut


class EvidenceOut(Answer, frozen=True, kw_only=True):
    """An archived event, and its proof or why there is none; `tampered`: the log contradicts its checkpoint."""

    in_log: bool
    event: dict[str, Any]
    proof: ProofOut | None
    unproved: str | None
    tampered: bool
    signer: SignerOut | None
