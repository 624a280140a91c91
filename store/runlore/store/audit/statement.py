"""Statements about signing keys: messages of the log that say which key signs after them, and why.

    runlore/signing/v1
    rotated                              or restored, or lost
    1234 <base64 of the root hash>       the tree that the old key has signed, or a restore began with
    <public key that signed until now>
    <public key that signs from now on>

    — signature of the old key, and of the new one

A statement is a C2SP signed note, and never a checkpoint: its second line is no number. It lies in the stream under
its own subject, so that every archive of the stream has it as a leaf, and message IDs number the statements.
"""

from __future__ import annotations

import base64
import contextlib
from collections.abc import Iterator, Sequence
from typing import Literal, NamedTuple, cast, get_args

from runlore.schemas.errors import CorruptLogError
from runlore.schemas.shards import is_signing_subject
from runlore.store.audit.checkpoint import SigningKey, note_lines, signature_line
from runlore.store.audit.merkle import HASH_BYTES
from runlore.store.audit.tree import leaf_index
from runlore.store.sqlite import sqlite

KeyReason = Literal["rotated", "restored", "lost"]
Series = Literal["signing", "erasure", "retention"]
"""Each kind of statement is numbered by itself: those about keys are few and read often, erasures may be thousands."""

_HEADER = "runlore/signing/v1"
_ROW = "SELECT position, subject, payload FROM log WHERE event_id = ? AND duplicate_of IS NULL"


class Statement(NamedTuple):
    """That `new` signs after `old`. `size` and `root`: the tree that both histories share."""

    reason: KeyReason
    size: int
    root: bytes
    old: str
    """A vkey, as `new`."""
    new: str

    def text(self) -> str:
        """The note text."""
        tree = f"{self.size} {base64.b64encode(self.root).decode()}"
        return "\n".join((_HEADER, self.reason, tree, self.old, self.new, ""))

    def signed(self, signers: Sequence[SigningKey]) -> str:
        """The signed note."""
        text = self.text()
        return text + "\n" + "".join(signature_line(signer, text.encode()) for signer in signers)


class LoggedStatement(NamedTuple):
    """A statement as the log has it; nothing of it is verified."""

    position: int
    leaf: int
    """The index of its leaf."""
    statement: Statement
    note: str


class LoggedNote(NamedTuple):
    """A message on the subject of statements; nothing of it is verified."""

    number: int
    """In its series."""
    position: int
    note: str


def statement_id(number: int, series: Series = "signing") -> str:
    """The message ID of the log's statement of this number, from 1, in a series."""
    return f"runlore-{series}-{number}"


def parse_statement(note: str) -> Statement:
    """The statement of a note. Raises CorruptLogError when it is none."""
    text, _ = note_lines(note)
    lines = text.split("\n")
    try:
        header, reason, tree, old, new, end = lines
        size, _, encoded = tree.partition(" ")
        found = Statement(cast("KeyReason", reason), int(size), base64.b64decode(encoded, validate=True), old, new)
    except ValueError:
        raise CorruptLogError("this is not a statement about signing keys") from None
    if header != _HEADER or end or reason not in get_args(KeyReason) or len(found.root) != HASH_BYTES:
        raise CorruptLogError("this is not a statement about signing keys")
    if found.text() != text:
        raise CorruptLogError("this statement about signing keys is malformed")
    return found


def is_statement(subject: str, payload: bytes) -> bool:
    """Return whether a message of the log is a statement, valid or not."""
    if not is_signing_subject(subject):
        return False
    with contextlib.suppress(CorruptLogError):
        return bool(parse_statement(payload.decode(errors="replace")))
    return False


def read_notes(connection: sqlite.Connection, series: Series, after: int = 0) -> Iterator[LoggedNote]:
    """The messages of log.db on the subject of statements, in order; `after`: from the number behind this one on."""
    number = after
    while (row := connection.execute(_ROW, (statement_id(number := number + 1, series),)).fetchone()) is not None:
        subject = row[1].decode(errors="replace") if isinstance(row[1], bytes) else row[1]
        if is_signing_subject(subject):
            yield LoggedNote(number, row[0], bytes(row[2]).decode(errors="replace"))


def read_statements(connection: sqlite.Connection) -> Iterator[LoggedStatement]:
    """The statements of log.db in order; what is none of them is passed over."""
    for _, position, note in read_notes(connection, "signing"):
        with contextlib.suppress(CorruptLogError):
            yield LoggedStatement(position, leaf_index(connection, position), parse_statement(note), note)


def next_statement_id(connection: sqlite.Connection, series: Series = "signing") -> str:
    """The message ID of the statement that comes next in a series."""
    number = 1
    while connection.execute(_ROW, (statement_id(number, series),)).fetchone() is not None:
        number += 1
    return statement_id(number, series)
