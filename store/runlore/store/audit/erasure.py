"""Erasures: statements of the log that say which content of which events was erased, by whom and why.

    runlore/erasure/v2
    <reason>
    <who asked for it>
    <position> <SHA-256 of the payload as logged> <SHA-256 of the redacted payload> <paths as JSON>    for each event

    \u2014 signature of the log's key

Hashes are base64; paths are those of `schemas.redaction`. In v1 they begin below the metadata. It is a C2SP signed note
under the subject of statements, so a leaf of the tree: the leaf of a redacted event is that of the logged payload,
whose hash the erasure keeps. Whoever changes a row must leave this here.
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
from runlore.schemas.redaction import redacted, redacted_v1
from runlore.schemas.shards import is_signing_subject
from runlore.store.audit.checkpoint import SigningKey, note_lines, signature_line
from runlore.store.audit.statement import Series, read_notes
from runlore.store.sqlite import sqlite

MAX_TEXT = 48 * 1024
"""Bytes of the lines of events: a note has at most 64 KiB."""

_VERSIONS = {"runlore/erasure/v1": 1, "runlore/erasure/v2": 2}
_HEADERS = {version: header for header, version in _VERSIONS.items()}
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
    version: int = 2

    def redacted(self, payload: bytes, paths: Sequence[PathParts]) -> bytes:
        """What it leaves of a payload. Raises EventDecodeError."""
        rewrite = redacted if self.version > 1 else redacted_v1
        return rewrite(payload, paths, self.reason)

    def text(self) -> str:
        """The note text."""
        return "\n".join((_HEADERS[self.version], self.reason, self.who, *(event.line() for event in self.events), ""))

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


def statements_of(reason: str, who: str, events: Sequence[ErasedEvent]) -> Iterator[Erasure]:
    """The erasures that name these events: no more of them in one than a note holds, and each event once."""
    batch: list[ErasedEvent] = []
    size = 0
    for event in events:
        length = len(event.line().encode()) + 1
        again = bool(batch) and batch[-1].position == event.position
        if batch and (again or size + length > MAX_TEXT):
            yield Erasure(reason, who, tuple(batch))
            batch, size = [], 0
        batch.append(event)
        size += length
    if batch:
        yield Erasure(reason, who, tuple(batch))


def parse_erasure(note: str) -> Erasure:
    """The erasure of a note; its signature is not checked. Raises CorruptLogError when it is none."""
    text, _ = note_lines(note)
    try:
        header, reason, who, *lines, end = text.split("\n")
        found = Erasure(reason, who, tuple(map(ErasedEvent.parse, lines)), _VERSIONS[header])
    except (ValueError, TypeError, KeyError):
        raise CorruptLogError("this is not an erasure") from None
    if end or not reason or not who or not lines or found.text() != text:
        raise CorruptLogError("this is not an erasure, or a malformed one")
    return found


def is_erasure(subject: str, payload: bytes) -> bool:
    """Return whether a message of the log is an erasure, valid or not."""
    if not is_signing_subject(subject) or not payload.startswith(b"runlore/erasure/"):
        return False
    with contextlib.suppress(CorruptLogError):
        return bool(parse_erasure(payload.decode(errors="replace")))
    return False


def read_erasures(connection: sqlite.Connection) -> Iterator[LoggedErasure]:
    """The erasures of log.db in order; other statements are passed over."""
    yield from ErasureReader().more(connection)


class ErasureReader:
    """Reads the erasures of one log.db, each once."""

    def __init__(self) -> None:
        self._numbers: dict[Series, int] = {"signing": 0, "erasure": 0}
        """The last number read of each series: the first version had no series of its own."""

    def more(self, connection: sqlite.Connection) -> list[LoggedErasure]:
        """Those that were not read before, in order; other statements are passed over."""
        found: list[LoggedErasure] = []
        for series in self._numbers:
            for one in read_notes(connection, series, self._numbers[series]):
                self._numbers[series] = one.number
                if one.note.startswith("runlore/erasure/"):
                    with contextlib.suppress(CorruptLogError):
                        found.append(LoggedErasure(one.position, parse_erasure(one.note), one.note))
        return sorted(found, key=lambda one: one.position)


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
