"""Erasures: statements of the log that say which values of which events were erased, by whom and why.

    runlore/erasure/v1
    <reason>
    <who asked for it>
    <position> <SHA-256 of the payload as logged> <SHA-256 of the redacted payload> <paths as JSON>    for each event

    \u2014 signature of the log's key

Hashes are base64. It is a C2SP signed note under the subject of statements, so a leaf of the tree: the leaf of a
redacted event is that of the logged payload, whose hash the erasure keeps. Whoever changes a row must leave this here.
"""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Iterable, Iterator, Sequence
from hashlib import sha256
from typing import NamedTuple

from runlore.schemas.errors import CorruptLogError
from runlore.schemas.paths import PathParts
from runlore.schemas.shards import is_signing_subject
from runlore.store.audit.checkpoint import SigningKey, note_lines, signature_line
from runlore.store.audit.statement import statement_id
from runlore.store.sqlite import sqlite

MAX_ERASED = 200
"""Events of one erasure: a note has at most 64 KiB."""

_HEADER = "runlore/erasure/v1"
_STATEMENT = "SELECT position, subject, payload FROM log WHERE event_id = ? AND duplicate_of IS NULL"
_TABLE = "SELECT 1 FROM main.sqlite_master WHERE type = 'table' AND name = 'erasures'"
_ONE = "SELECT statement, payload_hash, redacted_hash FROM main.erasures WHERE position = ?"
_NOTE = "SELECT payload FROM main.log WHERE position = ?"
_NEWEST = "SELECT coalesce(max(statement), 0) FROM main.erasures"
_ALL = "SELECT position, statement, payload_hash, redacted_hash FROM main.erasures ORDER BY position"


class ErasedEvent(NamedTuple):
    """One event of an erasure."""

    position: int
    payload_hash: bytes
    """SHA-256 of the payload as it was logged: what the leaf holds."""
    redacted_hash: bytes
    """SHA-256 of the payload in its place."""
    paths: tuple[PathParts, ...]

    def line(self) -> str:
        """Its line of the statement."""
        hashes = (base64.b64encode(one).decode() for one in (self.payload_hash, self.redacted_hash))
        return " ".join((str(self.position), *hashes, json.dumps(self.paths, separators=(",", ":"))))

    @classmethod
    def parse(cls, line: str) -> ErasedEvent:
        """Raises ValueError."""
        position, logged, redacted, paths = line.split(" ", 3)
        parts = tuple(tuple(map(str, path)) for path in json.loads(paths))
        return cls(int(position), _hash(logged), _hash(redacted), parts)


class Erasure(NamedTuple):
    """A statement that values were erased."""

    reason: str
    who: str
    events: tuple[ErasedEvent, ...]

    def text(self) -> str:
        """The note text."""
        return "\n".join((_HEADER, self.reason, self.who, *(event.line() for event in self.events), ""))

    def signed(self, signer: SigningKey) -> str:
        """The signed note. Raises CorruptLogError where it could not be read again."""
        note = f"{self.text()}\n{signature_line(signer, self.text().encode())}"
        parse_erasure(note)
        return note


class Redaction(NamedTuple):
    """A redacted row, as the table `erasures` of log.db has it. The statement proves it."""

    statement: int
    """The position of the erasure."""
    payload_hash: bytes
    redacted_hash: bytes

    def fits(self, payload: bytes) -> bool:
        """Return whether the payload is the redacted one."""
        return sha256(payload).digest() == self.redacted_hash


def _hash(text: str) -> bytes:
    return base64.b64decode(text, validate=True)


class LoggedErasure(NamedTuple):
    """An erasure as the log has it; its signature is not checked."""

    position: int
    erasure: Erasure
    note: str


def parse_erasure(note: str) -> Erasure:
    """The erasure of a note; its signature is not checked. Raises CorruptLogError when it is none."""
    text, _ = note_lines(note)
    try:
        header, reason, who, *lines, end = text.split("\n")
        found = Erasure(reason, who, tuple(map(ErasedEvent.parse, lines)))
    except (ValueError, TypeError):
        raise CorruptLogError("this is not an erasure") from None
    if header != _HEADER or end or not reason or not who or not lines or found.text() != text:
        raise CorruptLogError("this is not an erasure, or a malformed one")
    return found


def is_erasure(subject: str, payload: bytes) -> bool:
    """Return whether a message of the log is an erasure, valid or not."""
    if not is_signing_subject(subject) or not payload.startswith(_HEADER.encode()):
        return False
    with contextlib.suppress(CorruptLogError):
        return bool(parse_erasure(payload.decode(errors="replace")))
    return False


def read_erasures(connection: sqlite.Connection) -> Iterator[LoggedErasure]:
    """The erasures of log.db in order; other statements are passed over."""
    number = 0
    while (row := connection.execute(_STATEMENT, (statement_id(number := number + 1),)).fetchone()) is not None:
        subject = row[1].decode(errors="replace") if isinstance(row[1], bytes) else row[1]
        note = bytes(row[2]).decode(errors="replace")
        with contextlib.suppress(CorruptLogError):
            if is_signing_subject(subject) and note.startswith(_HEADER):
                yield LoggedErasure(row[0], parse_erasure(note), note)


def has_erasures(connection: sqlite.Connection) -> bool:
    """Return whether this log.db has the table of redacted rows: those of older versions have none."""
    return connection.execute(_TABLE).fetchone() is not None


def redaction_of(connection: sqlite.Connection, position: int) -> Redaction | None:
    """The redaction of a row; None for one that is as it was logged."""
    if not has_erasures(connection):
        return None
    row = connection.execute(_ONE, (position,)).fetchone()
    return None if row is None else Redaction(*row)


def erasure_of(connection: sqlite.Connection, position: int) -> LoggedErasure | None:
    """The erasure of values from a row; None for one that is as it was logged. Its signature is not checked."""
    redaction = redaction_of(connection, position)
    row = None if redaction is None else connection.execute(_NOTE, (redaction.statement,)).fetchone()
    if redaction is None or row is None:
        return None
    note = bytes(row[0]).decode(errors="replace")
    with contextlib.suppress(CorruptLogError):
        return LoggedErasure(redaction.statement, parse_erasure(note), note)
    return None


def redactions(connection: sqlite.Connection) -> dict[int, Redaction]:
    """All redacted rows of log.db, by position."""
    if not has_erasures(connection):
        return {}
    return {position: Redaction(*row) for position, *row in connection.execute(_ALL)}


def newest_executed(connection: sqlite.Connection) -> int:
    """The position of the newest erasure that was executed here, as a view notes it (31 bits); 0 if there is none."""
    return connection.execute(_NEWEST).fetchone()[0] & 0x7FFFFFFF if has_erasures(connection) else 0


def covers(erasure: Erasure, position: int, redaction: Redaction) -> bool:
    """Return whether an erasure is about this redacted row."""
    wanted: Sequence[object] = (position, redaction.payload_hash, redaction.redacted_hash)
    return any(tuple(event[:3]) == tuple(wanted) for event in erasure.events)


def is_original(connection: sqlite.Connection, position: int, payload: bytes) -> bool:
    """Return whether a payload is what a redacted row was: a stream that was not written again still has it."""
    redaction = redaction_of(connection, position)
    return redaction is not None and sha256(payload).digest() == redaction.payload_hash


def named_in(statements: Iterable[tuple[int, bytes]]) -> dict[int, Redaction]:
    """The rows that statements (position and payload) are about: a stream that was written again has them redacted."""
    found: dict[int, Redaction] = {}
    for position, payload in statements:
        with contextlib.suppress(CorruptLogError):
            for event in parse_erasure(payload.decode(errors="replace")).events:
                found[event.position] = Redaction(position, event.payload_hash, event.redacted_hash)
    return found
