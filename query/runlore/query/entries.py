"""Entries: one value of one key at one position, with who, when and where; and how groups are put together."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Iterable, Iterator, Mapping
from operator import itemgetter
from typing import Any

import msgspec

from runlore.query.reader import ViewReader
from runlore.schemas.cells import from_cell
from runlore.schemas.errors import NotFoundError
from runlore.schemas.events import Actor
from runlore.schemas.paths import PathParts, format_path, parse_path

ENDED = frozenset({"removed", "retracted"})
GROUP = "dict"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One value of one key (or leaf) at one position of the log."""

    value: Any
    """The value as it was logged; a dict for a group, None where the entry ended."""
    type: str
    """The value's type name, or how the entry ended: ``removed`` or ``retracted``."""
    key: str
    path: str
    """The path of the leaf; the key itself for whole keys."""
    position: int
    created: dt.datetime
    """When the log recorded it: server time in UTC, never going back."""
    occurred_at: dt.datetime
    """When the producer says it happened (its own clock), UTC."""
    event_id: str
    actor: Actor
    run: str | None = None
    """The run ID it was logged from, if any."""
    step: str | None = None
    """The step's name it was logged from, if any."""
    reason: str | None = None
    """Why it was retracted."""

    @property
    def ended(self) -> bool:
        """Whether the key or leaf ended here."""
        return self.type in ENDED

    def __repr__(self) -> str:
        return f"Entry({self.path}={self.value!r}, position={self.position}, by={self.actor.user})"


class Leaf(msgspec.Struct, frozen=True):
    """One row of heads or history."""

    path_id: int
    parts: PathParts
    position: int
    type: str
    value: Any


_EVENT = """SELECT position, event_id, occurred_us, recorded_us, actor_id, run_entity_id, step_entity_id
    FROM events WHERE position IN (SELECT value FROM json_each(?))"""
_ACTORS = "SELECT actor_id, user, host, pid, library FROM actors WHERE actor_id IN (SELECT value FROM json_each(?))"
_NAMES = "SELECT entity_id, name FROM entities WHERE entity_id IN (SELECT value FROM json_each(?))"

_HEADS = """SELECT h.path_id, p.path, h.position, h.type, h.value FROM heads h JOIN paths p USING (path_id)
    WHERE h.entity_id = ? AND p.scope = ? ORDER BY h.path_id"""

_LEAF_HISTORY = """SELECT position, type, value FROM history WHERE entity_id = ? AND path_id = ?
    AND position BETWEEN ? AND ? ORDER BY position DESC LIMIT ?"""
NO_END = 2**63 - 1

# For every path the entity ever had, the last row at or before the position: one seek a path. CROSS JOIN fixes
# the order: SQLite would start from history and read the entity's whole past.
_AS_OF = """SELECT n.path_id, p.path, n.position, n.type, n.value FROM heads h JOIN paths p USING (path_id)
    CROSS JOIN history n ON n.entity_id = h.entity_id AND n.path_id = h.path_id AND n.position = (
        SELECT max(position) FROM history
        WHERE entity_id = h.entity_id AND path_id = h.path_id AND position <= ?)
    WHERE h.entity_id = ? AND p.scope = ? ORDER BY h.path_id"""

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


def utc(microseconds: int) -> dt.datetime:
    """The time of a stored count of microseconds since 1970."""
    return EPOCH + dt.timedelta(microseconds=microseconds)


def leaves(reader: ViewReader, entity_id: int, scope: str, as_of: int | None) -> list[Leaf]:
    """The live leaves of an entity, in the order their paths were first seen."""
    sql, values = (_HEADS, (entity_id, scope)) if as_of is None else (_AS_OF, (as_of, entity_id, scope))
    rows = reader.rows(sql, values)
    return [_leaf(row) for row in rows if row[3] not in ENDED]


def _leaf(row: tuple[Any, ...]) -> Leaf:
    path_id, path, position, kind, cell = row
    value = cell if kind in ENDED else from_cell(kind, cell)
    return Leaf(path_id, parse_path(path), position, kind, value)


def assemble(found: Iterable[Leaf]) -> dict[str, Any]:
    """Plain values by key; leaves of a group put together again."""
    values: dict[str, Any] = {}
    for leaf in found:
        inside = values
        for part in leaf.parts[:-1]:
            inside = inside.setdefault(part, {})
        inside[leaf.parts[-1]] = leaf.value
    return values


def events(reader: ViewReader, positions: Iterable[int]) -> dict[int, dict[str, Any]]:
    """What the entries of each position have in common."""
    with reader.read():
        rows = reader.rows(_EVENT, (_json(positions),))
        # A thousand entries have few actors, runs and steps: each is read once.
        actors = {row[0]: Actor(*row[1:]) for row in reader.rows(_ACTORS, (_json(row[4] for row in rows),))}
        ids = (entity_id for row in rows for entity_id in row[5:] if entity_id is not None)
        names = dict(reader.rows(_NAMES, (_json(ids),)))
    return {
        row[0]: {
            "position": row[0],
            "event_id": row[1],
            "occurred_at": utc(row[2]),
            "created": utc(row[3]),
            "actor": actors[row[4]],
            "run": names.get(row[5]),
            "step": names.get(row[6]),
        }
        for row in rows
    }


def _json(numbers: Iterable[int]) -> str:
    return str(sorted(set(numbers)))


class Metadata(Mapping[str, Entry]):
    """Entries by key, as one read found them."""

    def __init__(self, entries: dict[str, Entry], of: str) -> None:
        self._entries, self._of = entries, of

    def __getitem__(self, key: str) -> Entry:
        try:
            return self._entries[key]
        except KeyError:
            known = ", ".join(self._entries) or "none"
            raise MissingKeyError(f"{self._of} has no key {key!r}; its keys: {known}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __repr__(self) -> str:
        return f"Metadata({ {key: entry.value for key, entry in self._entries.items()} })"


class MissingKeyError(NotFoundError, KeyError):
    """No such key; also a KeyError, so that `get` and `in` work."""

    __str__ = Exception.__str__


def entries(reader: ViewReader, entity_id: int, as_of: int | None, prefix: str = "") -> dict[str, Entry]:
    """One entry a key. A group's entry has the position of its newest leaf."""
    with reader.read():
        found = leaves(reader, entity_id, "metadata", as_of)
        by_key: dict[str, list[Leaf]] = {}
        for leaf in found:
            by_key.setdefault(leaf.parts[0], []).append(leaf)
        said = events(reader, (leaf.position for leaf in found))
    made: dict[str, Entry] = {}
    for key, group in by_key.items():
        newest = max(leaf.position for leaf in group)
        kind = group[0].type if len(group[0].parts) == 1 else GROUP
        value = assemble(group)[key]
        made[prefix + key] = Entry(value=value, type=kind, key=prefix + key, path=format_path((key,)), **said[newest])
    return made


def history(
    reader: ViewReader,
    entity_id: int,
    path: str | PathParts,
    limit: int | None,
    as_of: int | None,
    since: int = 0,
) -> list[Entry]:
    """The entries of a key, group or leaf from position `since` on, oldest first; the newest `limit` of them.

    Raises NotFoundError when the entity never had it.
    """
    upto = NO_END if as_of is None else as_of
    with reader.read():
        parts, ids = _paths_below(reader, entity_id, path)
        rows = [row for path_id, _ in ids for row in _rows(reader, entity_id, path_id, (since, upto), limit)]
        positions = sorted({row[0] for row in rows})
        if limit is not None and len(positions) > limit:
            since = positions[-limit]
            rows = [row for row in rows if row[0] >= since]
        if len(ids) == 1 and ids[0][1] == parts:
            found = [_value(row) for row in reversed(rows)]  # they came newest first
        else:
            before = [row for path_id, _ in ids for row in _rows(reader, entity_id, path_id, (0, since - 1), 1)]
            found = _group_history(parts, dict(ids), before, rows)
        said = events(reader, (position for position, _, _ in found))
    return [_entry(parts, kind, value, said[position]) for position, kind, value in found]


def _entry(parts: PathParts, kind: str, value: Any, said: dict[str, Any]) -> Entry:
    ended = kind in ENDED
    return Entry(
        value=None if ended else value,
        type=kind,
        key=parts[0],
        path=format_path(parts),
        reason=value if kind == "retracted" else None,
        **said,
    )


def _paths_below(
    reader: ViewReader, entity_id: int, path: str | PathParts
) -> tuple[PathParts, list[tuple[int, PathParts]]]:
    """The path meant, and every path of the entity at or below it."""
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
    raise NotFoundError(f"never logged here: {format_path(candidates[0])!r}")


def _rows(
    reader: ViewReader, entity_id: int, path_id: int, span: tuple[int, int], limit: int | None
) -> list[tuple[int, int, str, Any]]:
    """The newest `limit` rows of one leaf between two positions: position, path ID, type, cell."""
    rows = reader.rows(_LEAF_HISTORY, (entity_id, path_id, *span, -1 if limit is None else limit))
    return [(position, path_id, kind, cell) for position, kind, cell in rows]


def _value(row: tuple[int, int, str, Any]) -> tuple[int, str, Any]:
    position, _, kind, cell = row
    return position, kind, cell if kind in ENDED else from_cell(kind, cell)


def _group_history(
    parts: PathParts,
    paths: dict[int, PathParts],
    before: list[tuple[int, int, str, Any]],
    rows: list[tuple[int, int, str, Any]],
) -> list[tuple[int, str, Any]]:
    """The value of a group after each position of `rows`; `before` is its leaves' state ahead of them."""
    live: dict[int, Leaf] = {}
    for row in before:
        _put(live, parts, paths, row)
    found: list[tuple[int, str, Any]] = []
    for position, changes in itertools.groupby(sorted(rows, key=itemgetter(0, 1)), key=itemgetter(0)):
        ended: tuple[str, Any] = ("removed", None)
        for row in changes:
            _put(live, parts, paths, row)
            if row[2] == "retracted":
                ended = row[2], row[3]
        kind, value = _group_value(parts, live) if live else ended
        found.append((position, kind, value))
    return found


def _put(live: dict[int, Leaf], parts: PathParts, paths: dict[int, PathParts], row: tuple[int, int, str, Any]) -> None:
    position, path_id, kind, cell = row
    if kind in ENDED:
        live.pop(path_id, None)
    else:
        live[path_id] = Leaf(path_id, paths[path_id][len(parts) - 1 :], position, kind, from_cell(kind, cell))


def _group_value(parts: PathParts, live: dict[int, Leaf]) -> tuple[str, Any]:
    group = [live[key] for key in sorted(live)]
    kind = group[0].type if len(group) == 1 and len(group[0].parts) == 1 else GROUP
    return kind, assemble(group)[parts[-1]]


def field_history(reader: ViewReader, entity_id: int, name: str, as_of: int | None) -> list[Entry]:
    """All entries of one field of an entity, oldest first."""
    upto = 2**63 - 1 if as_of is None else as_of
    with reader.read():
        rows = reader.rows(
            "SELECT position, type, value FROM history WHERE entity_id = ? AND position <= ? AND path_id ="
            " (SELECT path_id FROM paths WHERE scope = 'field' AND key = ? AND path = ?) ORDER BY position",
            (entity_id, upto, name, format_path((name,))),
        )
        said = events(reader, (row[0] for row in rows))
    return [
        _entry((name,), kind, cell if kind in ENDED else from_cell(kind, cell), said[position])
        for position, kind, cell in rows
    ]
