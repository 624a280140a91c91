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
from runlore.query.view.leaves import Leaf, Parts, StoredRow, assemble, live_leaves, prefixed, rows_of_parts
from runlore.schemas.errors import NotFoundError
from runlore.schemas.events import Actor
from runlore.schemas.paths import format_path, parse_path
from runlore.schemas.signatures import Signer
from runlore.store.cells import ENDED, read_reason

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
    at_step: int | None = None
    """The point on the training's own axis, if one was given: a batch, an epoch."""
    signer: Signer | None = None
    """The key that signed the event, and whom it proves; None if nobody signed it, and `actor` is only claimed."""

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


def entries(reader: ViewReader, parts: Parts, moment: Moment) -> dict[str, Entry]:
    """One entry a key, that of the first part which has it. A group's entry has the position of its newest leaf."""
    with reader.read():
        groups = _groups(reader, parts, moment)
        newest = {key: max(leaf.position for leaf in group) for key, (_, group) in groups.items()}
        by_position = envelopes(reader, newest.values())
    made: dict[str, Entry] = {}
    for shown, (key, group) in groups.items():
        kind = group[0].type if len(group[0].parts) == 1 else GROUP
        value = assemble(group)[key]
        made[shown] = Entry(value=value, type=kind, key=shown, path=format_path((key,)), **by_position[newest[shown]])
    return made


def plain_values(reader: ViewReader, parts: Parts, moment: Moment) -> dict[str, Any]:
    """The value of each key, as `entries` have it."""
    return {shown: assemble(group)[key] for shown, (key, group) in _groups(reader, parts, moment).items()}


def _groups(reader: ViewReader, parts: Parts, moment: Moment) -> dict[str, tuple[str, list[Leaf]]]:
    """The live leaves of each key as it is shown, and the key itself."""
    found: dict[str, tuple[str, list[Leaf]]] = {}
    for prefix, rows in rows_of_parts(reader, parts, moment):
        own: dict[str, tuple[str, list[Leaf]]] = {}
        for leaf in live_leaves(rows):
            key = leaf.parts[0]
            own.setdefault(prefix + key, (key, []))[1].append(leaf)
        found |= {shown: group for shown, group in own.items() if shown not in found}
    return found


def blame(reader: ViewReader, parts: Parts, moment: Moment, ended: bool) -> list[Entry]:
    """The entry that last set each leaf, of the first part that holds its key; `ended`: also of leaves that do not."""
    with reader.read():
        found, taken = list[tuple[str, str, StoredRow]](), set[str]()
        for prefix, rows in rows_of_parts(reader, parts, moment):
            own = [(prefix, prefix + parse_path(row[1])[0], row) for row in rows if ended or row[3] not in ENDED]
            found += [item for item in own if item[1] not in taken]
            taken.update(key for _, key, row in own if row[3] not in ENDED)
        by_position = envelopes(reader, (row[2] for _, _, row in found))
    return [
        entry_of(key, prefixed(path, prefix), kind, value_of(kind, cell), by_position[position])
        for prefix, key, (_, path, position, kind, cell) in found
    ]


def value_of(kind: str, cell: Any) -> Any:
    """Return the value of a row, or the given reason where it ended."""
    return read_reason(cell) if kind in ENDED else read_cell(kind, cell)


def entry_of(key: str, path: str, kind: str, value: Any, envelope: Envelope, **more: Any) -> Entry:
    """The entry of a row that `value_of` has read."""
    if kind not in ENDED:
        return Entry(value=value, type=kind, key=key, path=path, **envelope, **more)
    return Entry(value=None, type=kind, key=key, path=path, reason=value, **envelope, **more)
