"""Which keys signed a log, one after the other, as the statements in the log say.

A statement passes on trust only as far as signatures go: the old key's makes the new one trusted for the trees after
it, and the new key's makes the old one trusted for the trees before it. A key that was lost signs nothing, so nobody
who trusts it learns to trust the next one: that key has to be handed out again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from runlore.projector.audit.keys import Verifier
from runlore.schemas.errors import CorruptLogError, SettingsError
from runlore.store.audit.checkpoint import note_lines, read_signature
from runlore.store.audit.erasure import LoggedErasure
from runlore.store.audit.retention import LoggedRetention
from runlore.store.audit.statement import Statement, parse_statement, read_statements
from runlore.store.sqlite import sqlite

NO_END = 2**63


class KeyChange(NamedTuple):
    """A statement of the log whose signatures were checked."""

    position: int
    leaf: int
    """The index of its leaf: larger trees are the new key's."""
    statement: Statement
    note: str
    old: Verifier
    new: Verifier
    by_old: bool
    by_new: bool

    @property
    def last_of_old(self) -> int:
        """The largest tree that the old key signs for this log."""
        return self.statement.size if self.statement.reason == "restored" else self.leaf

    @property
    def holds(self) -> bool:
        """Return whether it is what its reason says, with the signature that it needs."""
        if self.statement.reason == "restored":
            return self.by_old and self.old.public == self.new.public
        return self.old.name == self.new.name and (self.by_new if self.statement.reason == "lost" else self.by_old)


class TrustedRange(NamedTuple):
    """A trusted key and the sizes of the trees that it may sign."""

    key: Verifier
    after: int = -1
    until: int = NO_END

    def covers(self, size: int) -> bool:
        """Return whether the key may sign a tree of this size."""
        return self.after < size <= self.until


def read_changes(connection: sqlite.Connection) -> list[KeyChange]:
    """The statements in log.db about keys, with their signatures checked; those without a right one are left out."""
    found: list[KeyChange] = []
    for logged in read_statements(connection):
        with contextlib.suppress(CorruptLogError):
            found.append(checked_statement(logged.note, logged.position, logged.leaf))
    return [change for change in found if change.holds]


def checked_statement(note: str, position: int = 0, leaf: int = 0) -> KeyChange:
    """A statement with its signatures checked, wherever it is. Raises CorruptLogError when it is none."""
    statement = parse_statement(note)
    try:
        old, new = Verifier.parse(statement.old), Verifier.parse(statement.new)
    except SettingsError as error:
        raise CorruptLogError(f"this statement names no keys: {error}") from None
    return KeyChange(position, leaf, statement, note, old, new, signs(old, note), signs(new, note))


def signs(key: Verifier, note: str) -> bool:
    """Return whether a key has signed a note."""
    text, lines = note_lines(note)
    signatures = [read_signature(line) for line in lines]
    return any(
        (name, key_id) == (key.name, key.key_id) and key.verifies(text.encode(), signature)
        for name, key_id, signature in signatures
    )


def is_signed(logged: LoggedErasure | LoggedRetention, leaf: int, keys: Iterable[TrustedRange]) -> bool:
    """Return whether the key that signed the log then has signed a statement. `leaf`: the index of its leaf."""
    return any(one.covers(leaf) and signs(one.key, logged.note) for one in keys)


def described(change: KeyChange) -> str:
    """What a change means for an auditor."""
    at, new = f"event {change.position:,}", change.new.vkey
    match change.statement.reason:
        case "rotated":
            return f"{at}: replaced by {new}, signed by the key before"
        case "restored":
            return f"{at}: the log was restored at {change.statement.size:,} leaves; it signs as {new} since"
        case "lost":
            return f"{at}: said to be lost. Nothing ties {new} to the key before: trust it only if its owner gave it"


def current_key(own: Verifier, changes: Sequence[KeyChange]) -> Verifier:
    """The key that signs now, if the key `own` (of any name) is one of this log's; itself when nothing replaced it."""
    named = [change for change in changes if change.new.public == own.public]
    certain = [change for change in named if change.by_new]  # nobody else can write these
    current = (certain or named)[-1].new if named else own
    for change in changes:  # in log order, so a key that comes back is followed once
        # Anybody may write that a key is lost: its owner, who still signs with it, knows better.
        if change.old == current and change.statement.reason != "lost":
            current = change.new
    return current


def lineage(current: Verifier, changes: Sequence[KeyChange]) -> list[Verifier]:
    """A key and those that it follows, for whoever owns it: that the old ones named it is enough."""
    found = [current]
    for change in reversed(changes):
        if change.new == found[-1] and change.old not in found:
            found.append(change.old)
    return found


def spread(trusted: Iterable[Verifier], changes: Sequence[KeyChange]) -> list[TrustedRange]:
    """The trusted keys, and those that they vouch for, each with the trees that it may sign."""
    ranges = {key: TrustedRange(key) for key in trusted}
    for change in changes:
        if change.old in ranges and change.statement.reason != "lost":
            ranges[change.old] = ranges[change.old]._replace(until=change.last_of_old)
            ranges[change.new] = TrustedRange(change.new, change.leaf)
    for change in reversed(changes):
        if change.new in ranges and change.by_new:
            ranges[change.new] = ranges[change.new]._replace(after=change.leaf)
            known = ranges.get(change.old, TrustedRange(change.old))
            ranges[change.old] = known._replace(until=min(known.until, change.last_of_old))
    return list(ranges.values())
