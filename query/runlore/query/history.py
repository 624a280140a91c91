"""The past of one key, group, leaf or field, in the order of the log."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from operator import itemgetter
from typing import Any

import msgspec

from runlore.query.entries import GROUP, Entry, entry_of, value_of
from runlore.query.frames import Frame, Framed, frame_of_rows
from runlore.query.near import meant
from runlore.query.notebook import html_table
from runlore.query.time.moment import Moment, Range, micros_of
from runlore.query.view.budget import read_cell
from runlore.query.view.connection import ViewReader
from runlore.query.view.events import Envelope, envelopes
from runlore.query.view.leaves import Leaf, assemble, contradicted
from runlore.schemas.errors import NotFoundError
from runlore.schemas.paths import PathParts, format_path, parse_path
from runlore.store import stretches
from runlore.store.cells import ENDED, read_reason

_MOST_LISTED = 10
"""Entries that `repr` shows one by one."""
MAX_SHOWN = 100
"""The newest entries a notebook shows."""
COLUMNS = (
    "path", "value", "previous", "type", "position", "created", "occurred_at", "user", "host", "run", "step", "at_step",
    "event_id", "reason",
)  # fmt: skip

LEAF_HISTORY = f"""SELECT h.position, h.type, h.value FROM {stretches.of_leaf(":entity", ":path")}
    WHERE {stretches.between(":first", ":last")} AND h.position BETWEEN :first AND :last
    ORDER BY s.stretch {{order}}, h.position {{order}} LIMIT :limit"""
_OLDEST, _NEWEST = LEAF_HISTORY.format(order="ASC"), LEAF_HISTORY.format(order="DESC")

HistoryRow = tuple[int, int, str, Any]
"""Position, path ID, type, cell."""
State = tuple[int, str, Any]
"""Position, type, value (the reason, where it was retracted)."""


class History(list[Entry], Framed):
    """Entries of one key, group or path, oldest first by default."""

    def __init__(self, entries: Iterable[Entry] = (), position: int = 0) -> None:
        super().__init__(entries)
        self.position = position
        """The history is complete up to this event."""

    def to_dict(self) -> list[dict[str, Any]]:
        """Return each entry as a dict of Python values, with nested dicts of the actor and the signer."""
        return [
            {
                **msgspec.structs.asdict(entry),
                "actor": msgspec.structs.asdict(entry.actor),
                "signer": entry.signer and msgspec.structs.asdict(entry.signer),
            }
            for entry in self
        ]

    def to_frame(self) -> Frame:
        """A row for each entry."""
        return frame_of_rows(COLUMNS, map(_cells, self), self.position)

    def _repr_html_(self) -> str:
        return html_table(COLUMNS, map(_cells, self[-MAX_SHOWN:]))

    def __repr__(self) -> str:
        if len(self) <= _MOST_LISTED:
            return repr(list(self))
        return f"[{self[0]!r}, ... {len(self) - 2} more ..., {self[-1]!r}]"


def _cells(entry: Entry) -> tuple[Any, ...]:
    actor = entry.actor
    return (
        entry.path, entry.value, entry.previous, entry.type, entry.position, entry.created, entry.occurred_at,
        actor.user, actor.host, entry.run, entry.step, entry.at_step,
        entry.event_id, entry.reason,
    )  # fmt: skip


def read_history(
    reader: ViewReader, entity_id: int, path: str | PathParts, wanted: Range, moment: Moment
) -> list[Entry]:
    """The wanted entries of a key, group or leaf that a moment sees, oldest first.

    What was never logged may be a field, such as ``stage`` or ``note``. Raises NotFoundError when it is neither.
    """
    with reader.read():
        parts, ids = _logged_or_field(reader, entity_id, path)
        paths, whole = dict(ids), wanted
        if moment.occurred_us is not None or wanted.occurred is not None:
            # By the producers' clocks any entry may be among the wanted: the whole past is read, then chosen from.
            whole = Range()
        before, rows = _rows(reader, entity_id, list(paths), whole, moment)
        if len(ids) == 1 and ids[0][1] == parts:
            states = [(position, kind, value_of(kind, cell)) for position, _, kind, cell in (*before, *rows)]
        else:
            states = _group_states(parts, paths, before, rows)
        return _entries(reader, parts, states, bool(before), wanted)


def read_field_history(reader: ViewReader, entity_id: int, name: str, moment: Moment) -> list[Entry]:
    """All entries of one field of an entity that a moment sees, oldest first; none if it never had one."""
    with reader.read():
        row = reader.one("SELECT path_id FROM paths WHERE scope = 'field' AND key = ? AND path = ?",
                         (name, format_path((name,))))  # fmt: skip
        if row is None:
            return []
        _, rows = _rows(reader, entity_id, [row[0]], Range(), moment)
        states = [(position, kind, value_of(kind, cell)) for position, _, kind, cell in rows]
        return _entries(reader, (name,), states, False, Range())


def _logged_or_field(
    reader: ViewReader, entity_id: int, path: str | PathParts
) -> tuple[PathParts, list[tuple[int, PathParts]]]:
    try:
        return paths_below(reader, entity_id, path)
    except NotFoundError:
        parts = parse_path(path)
        row = reader.one(
            "SELECT path_id FROM paths JOIN heads USING (path_id)"
            " WHERE scope = 'field' AND key = ? AND path = ? AND entity_id = ?",
            (parts[0], format_path(parts), entity_id),
        )
        if row is None:
            raise
        return parts, [(row[0], parts)]


def was_logged(reader: ViewReader, entity_id: int, path: str | PathParts) -> bool:
    """Return whether the entity itself ever had a key, group or leaf."""
    try:
        paths_below(reader, entity_id, path)
    except NotFoundError:
        return False
    return True


def paths_below(
    reader: ViewReader, entity_id: int, path: str | PathParts
) -> tuple[PathParts, list[tuple[int, PathParts]]]:
    """The path meant, and every path of the entity at or below it. Raises NotFoundError."""
    candidates = [parse_path(path)]
    if isinstance(path, str) and (path,) not in candidates:
        candidates.append((path,))  # a key that holds dots, such as train.loss
    for parts in candidates:
        rows = reader.rows(
            "SELECT p.path_id, p.path FROM paths p JOIN heads h USING (path_id)"
            " WHERE p.scope = 'metadata' AND p.key = ? AND h.entity_id = ?",
            (parts[0], entity_id),
        )
        known = [(path_id, parse_path(text)) for path_id, text in rows]
        below = [(path_id, found) for path_id, found in known if found[: len(parts)] == parts]
        if below:
            return parts, below
    raise NotFoundError(_no_key(reader, entity_id, format_path(candidates[0])))


def _no_key(reader: ViewReader, entity_id: int, path: str) -> str:
    """The message for a key that an entity never had, with similar ones."""
    (reference,) = reader.one("SELECT reference FROM entities WHERE entity_id = ?", (entity_id,)) or ("the entity",)
    known = [row[0] for row in reader.rows(
        "SELECT p.path FROM paths p JOIN heads h USING (path_id) WHERE p.scope = 'metadata' AND h.entity_id = ?"
        " ORDER BY p.path_id LIMIT 1000", (entity_id,),
    )]  # fmt: skip
    return f"{reference} has no key {path!r}{meant(path, known)}"


def _rows(
    reader: ViewReader, entity_id: int, ids: list[int], wanted: Range, moment: Moment
) -> tuple[list[HistoryRow], list[HistoryRow]]:
    """For each leaf its row ahead of what is wanted; and the wanted rows, oldest first."""
    last = min(wanted.last, moment.position)
    sql = _OLDEST if wanted.oldest else _NEWEST
    limit = -1 if wanted.limit is None else wanted.limit

    def bound(path_id: int, first: int, last: int, limit: int) -> dict[str, int]:
        return {"entity": entity_id, "path": path_id, "first": first, "last": last, "limit": limit}

    rows = [
        (position, path_id, kind, cell)
        for path_id in ids
        for position, kind, cell in reader.rows(sql, bound(path_id, wanted.first, last, limit))
    ]
    if moment.occurred_us is not None:
        seen = {p for p, envelope in envelopes(reader, (row[0] for row in rows)).items() if _occurred(envelope, moment)}
        rows = [row for row in rows if row[0] in seen]
    rows.sort(key=itemgetter(0, 1))
    positions = _limited(sorted({row[0] for row in rows}), wanted)
    if not positions:
        return [], []
    rows = [row for row in rows if positions[0] <= row[0] <= positions[-1]]
    before = [
        (position, path_id, kind, cell)
        for path_id in ids
        for position, kind, cell in reader.rows(_NEWEST, bound(path_id, 0, positions[0] - 1, 1))
    ]
    return ([] if moment.occurred_us is not None else sorted(before, key=itemgetter(0, 1))), rows


def _occurred(envelope: Envelope, moment: Moment) -> bool:
    return moment.occurred_us is None or micros_of(envelope["occurred_at"]) <= moment.occurred_us


def _limited(found: list[Any], wanted: Range) -> list[Any]:
    if wanted.limit is None:
        return found
    return found[: wanted.limit] if wanted.oldest else found[-wanted.limit :]


def _entries(reader: ViewReader, parts: PathParts, states: list[State], ahead: bool, wanted: Range) -> list[Entry]:
    """The wanted entries of consecutive states; `ahead`: the first state is only what was before them."""
    by_position = envelopes(reader, (position for position, _, _ in states))
    found: list[Entry] = []
    path, last = format_path(parts), None
    for state in states:
        position, kind, value = state
        if last is None and ahead:
            last = state
            continue
        envelope = by_position[position]
        if wanted.has(position, envelope["occurred_at"]):
            was = (None, None) if last is None else (None if last[1] in ENDED else last[2], last[1])
            found.append(entry_of(parts[0], path, kind, value, envelope, previous=was[0], previous_type=was[1]))
        last = state
    return _limited(found, wanted)


def _group_states(
    parts: PathParts, paths: dict[int, PathParts], before: list[HistoryRow], rows: list[HistoryRow]
) -> list[State]:
    """The value of a group after each position of `rows`, behind its value ahead of them (all of `before`)."""
    live: dict[int, Leaf] = {}
    states: list[State] = []
    if before:
        states.append(_after(live, parts, paths, before))
    for _, changes in itertools.groupby(rows, key=itemgetter(0)):
        states.append(_after(live, parts, paths, list(changes)))
    return states


def _after(live: dict[int, Leaf], parts: PathParts, paths: dict[int, PathParts], changes: list[HistoryRow]) -> State:
    """Bring `live` up to date with changes, oldest first; the state of the group then."""
    for position, path_id, kind, cell in changes:
        if kind in ENDED:
            live.pop(path_id, None)
        else:
            live[path_id] = Leaf(path_id, paths[path_id][len(parts) - 1 :], position, kind, read_cell(kind, cell))
    position = changes[-1][0]
    if not live:
        reasons = [read_reason(cell) for at, _, kind, cell in changes if kind == "retracted" and at == position]
        return (position, "retracted", reasons[-1]) if reasons else (position, "removed", None)
    lost = contradicted((leaf.position, leaf.parts) for leaf in live.values())
    group = [live[key] for key in sorted(live) if live[key].parts not in lost]
    kind = group[0].type if len(group) == 1 and len(group[0].parts) == 1 else GROUP
    return position, kind, assemble(group)[parts[-1]]
