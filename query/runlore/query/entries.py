"""Entries: one value of one key at one position, with who, when and where; and how groups are put together."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, cast

import msgspec

from runlore.query.moments import NOW, Moment, utc
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
    previous: Any = None
    """In a history: the value before this one, None where there was none."""
    previous_type: str | None = None
    """In a history: the type of the value before or how that ended; None for the very first entry."""

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

# For every path the entity ever had, the last row that may be seen: one seek a path. CROSS JOIN fixes the
# order: SQLite would start from history and read the entity's whole past.
_THEN = """SELECT n.path_id, p.path, n.position, n.type, n.value FROM heads h JOIN paths p USING (path_id)
    CROSS JOIN history n ON n.entity_id = h.entity_id AND n.path_id = h.path_id AND n.position = ({last})
    WHERE h.entity_id = ? AND p.scope = ? ORDER BY h.path_id"""
_AS_OF = _THEN.format(
    last="SELECT max(position) FROM history WHERE entity_id = h.entity_id AND path_id = h.path_id AND position <= ?"
)
# Producers' clocks are in no order, so this one walks back from the newest entry to the first that had occurred.
_OCCURRED = _THEN.format(
    last="""SELECT b.position FROM history b CROSS JOIN events o ON o.position = b.position
    WHERE b.entity_id = h.entity_id AND b.path_id = h.path_id AND b.position <= ? AND o.occurred_us <= ?
    ORDER BY b.position DESC LIMIT 1"""
)

StoredRow = tuple[int, str, int, str, Any]
"""Path ID, path, position, type, cell."""
Cells = dict[str, tuple[str, Any]]
"""Type and cell of each live leaf by path."""


def rows_at(reader: ViewReader, entity_id: int, scope: str, moment: Moment) -> list[StoredRow]:
    """The last row of each leaf at a moment, ended ones included, in the order their paths were first seen."""
    if moment == NOW:
        rows = reader.rows(_HEADS, (entity_id, scope))
    elif moment.occurred_us is None:
        rows = reader.rows(_AS_OF, (moment.position, entity_id, scope))
    else:
        rows = reader.rows(_OCCURRED, (*moment, entity_id, scope))
        live = [(row[2], parse_path(row[1])) for row in rows if row[3] not in ENDED]
        lost = contradicted(live)
        rows = [row for row in rows if row[3] in ENDED or parse_path(row[1]) not in lost]
    return cast(list[StoredRow], rows)


def contradicted(live: Iterable[tuple[int, PathParts]]) -> set[PathParts]:
    """Of leaves with their positions, those above or below another one that came later in the log.

    A group that replaces a value ends it, but by the producers' clocks the event that did so may be out of sight.
    """
    kept, above, lost = set[PathParts](), set[PathParts](), set[PathParts]()
    for _, parts in sorted(live, reverse=True):
        over = {parts[:size] for size in range(1, len(parts))}
        if parts in above or over & kept:
            lost.add(parts)
        else:
            kept.add(parts)
            above |= over
    return lost


def leaves(reader: ViewReader, entity_id: int, scope: str, moment: Moment) -> list[Leaf]:
    """The live leaves of an entity, in the order their paths were first seen."""
    return [
        Leaf(path_id, parse_path(path), position, kind, from_cell(kind, cell))
        for path_id, path, position, kind, cell in rows_at(reader, entity_id, scope, moment)
        if kind not in ENDED
    ]


def cells(reader: ViewReader, entity_id: int, moment: Moment, prefix: str = "") -> Cells:
    """Type and cell of each live leaf; `prefix` goes in front of the keys."""
    rows = rows_at(reader, entity_id, "metadata", moment)
    return {_prefixed(path, prefix): (kind, cell) for _, path, _, kind, cell in rows if kind not in ENDED}


def _prefixed(path: str, prefix: str) -> str:
    if not prefix:
        return path
    key, *names = parse_path(path)
    return format_path((prefix + key, *names))


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


def entries(reader: ViewReader, entity_id: int, moment: Moment, prefix: str = "") -> dict[str, Entry]:
    """One entry a key. A group's entry has the position of its newest leaf."""
    with reader.read():
        found = leaves(reader, entity_id, "metadata", moment)
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


def blame(reader: ViewReader, entity_id: int, moment: Moment, ended: bool, prefix: str = "") -> list[Entry]:
    """The entry that last set each leaf; `ended`: also of leaves that no longer hold."""
    with reader.read():
        rows = [row for row in rows_at(reader, entity_id, "metadata", moment) if ended or row[3] not in ENDED]
        said = events(reader, (row[2] for row in rows))
    found: list[Entry] = []
    for _, path, position, kind, cell in rows:
        key = parse_path(path)[0]
        found.append(entry_of(prefix + key, _prefixed(path, prefix), kind, value_of(kind, cell), said[position]))
    return found


def value_of(kind: str, cell: Any) -> Any:
    """What a row holds: the value, or where it ended the reason as it was given."""
    return cell if kind in ENDED else from_cell(kind, cell)


def entry_of(key: str, path: str, kind: str, value: Any, said: dict[str, Any], **more: Any) -> Entry:
    """The entry of a row that `value_of` has read."""
    if kind not in ENDED:
        return Entry(value=value, type=kind, key=key, path=path, **said, **more)
    return Entry(value=None, type=kind, key=key, path=path, reason=value, **said, **more)
