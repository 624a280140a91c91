"""Entries: one value of one key at one position, with who, when and where."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from runlore.query.time.moment import Moment
from runlore.query.view.budget import read_cell
from runlore.query.view.connection import ViewReader
from runlore.query.view.events import Envelope, envelopes
from runlore.query.view.leaves import Leaf, assemble, leaves, prefixed, rows_at
from runlore.schemas.errors import NotFoundError
from runlore.schemas.events import Actor
from runlore.schemas.paths import format_path, parse_path
from runlore.store.cells import ENDED

GROUP = "dict"


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """One value of one key (or path), logged by one event."""

    value: Any
    """The value as it was logged; a dict for a group, None where the entry ended."""
    type: str
    """The value's type name, or how the entry ended: ``removed`` or ``retracted``."""
    key: str
    path: str
    """The path; the key itself for whole keys."""
    position: int
    created: dt.datetime
    """Time at which the log recorded it: server time in UTC, which never goes back."""
    occurred_at: dt.datetime
    """Time at which it happened by the producer's own clock, UTC."""
    event_id: str
    actor: Actor
    run: str | None = None
    """The run ID it was logged from, if any."""
    step: str | None = None
    """The step's name it was logged from, if any."""
    reason: str | None = None
    """Reason of a retraction."""
    previous: Any = None
    """In a history or a watch: the value before this one, None where there was none."""
    previous_type: str | None = None
    """In a history or a watch: the type of the value before or how that ended; None for the very first entry."""

    @property
    def ended(self) -> bool:
        """True if the key or path ended here."""
        return self.type in ENDED

    @property
    def replaced(self) -> bool:
        """True if there was a value before it, known as `previous`."""
        return self.previous_type is not None and self.previous_type not in ENDED

    def __repr__(self) -> str:
        return f"Entry({self.path}={self.value!r}, position={self.position}, by={self.actor.user})"


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
        by_position = envelopes(reader, (leaf.position for leaf in found))
    made: dict[str, Entry] = {}
    for key, group in by_key.items():
        newest = max(leaf.position for leaf in group)
        kind = group[0].type if len(group[0].parts) == 1 else GROUP
        value = assemble(group)[key]
        made[prefix + key] = Entry(
            value=value, type=kind, key=prefix + key, path=format_path((key,)), **by_position[newest]
        )
    return made


def blame(reader: ViewReader, entity_id: int, moment: Moment, ended: bool, prefix: str = "") -> list[Entry]:
    """The entry that last set each leaf; `ended`: also of leaves that no longer hold."""
    with reader.read():
        rows = [row for row in rows_at(reader, entity_id, "metadata", moment) if ended or row[3] not in ENDED]
        by_position = envelopes(reader, (row[2] for row in rows))
    found: list[Entry] = []
    for _, path, position, kind, cell in rows:
        key = parse_path(path)[0]
        found.append(entry_of(prefix + key, prefixed(path, prefix), kind, value_of(kind, cell), by_position[position]))
    return found


def value_of(kind: str, cell: Any) -> Any:
    """Return the value of a row, or the given reason where it ended."""
    return cell if kind in ENDED else read_cell(kind, cell)


def entry_of(key: str, path: str, kind: str, value: Any, envelope: Envelope, **more: Any) -> Entry:
    """The entry of a row that `value_of` has read."""
    if kind not in ENDED:
        return Entry(value=value, type=kind, key=key, path=path, **envelope, **more)
    return Entry(value=None, type=kind, key=key, path=path, reason=value, **envelope, **more)
