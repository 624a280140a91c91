"""Retention: statements of the log that make and end rules, and legal holds.

    runlore/retention/v1
    add                                  or remove, hold, release
    old-parameters
    <reason>
    <who asked for it>
    {"project":"default","kind":"run",…}     the rule or the hold as JSON; {} where it ends

    \u2014 signature of the log's key

A C2SP signed note under the subject of statements, like an erasure: every archive of the stream knows them, and a
checkpoint proves them. The last statement about a name is in force. A rule does nothing by itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Literal, NamedTuple, cast, get_args

import msgspec

from runlore.schemas.errors import CorruptLogError
from runlore.schemas.shards import is_signing_subject
from runlore.store.audit.checkpoint import SigningKey, note_lines, signature_line
from runlore.store.audit.statement import read_notes
from runlore.store.sqlite import sqlite

RetentionAct = Literal["add", "remove", "hold", "release"]

_HEADER = "runlore/retention/v1"


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """Content that is erased when it is older than a span, by the log's clock."""

    project: str
    kind: str | None
    """Of the entities that it is about; None for any."""
    keys: tuple[str, ...]
    """Patterns of keys."""
    what: tuple[str, ...]
    """Kinds of content: metadata, parameters, environment, notes, reasons, errors, everything."""
    older_than: int
    """Seconds."""


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """Content that is not erased until the hold is released."""

    project: str
    entities: str
    """A reference, or a pattern of references."""
    keys: tuple[str, ...]
    """Patterns of keys; none for all content."""


class Retention(NamedTuple):
    """One statement."""

    act: RetentionAct
    name: str
    reason: str
    who: str
    body: Rule | Hold | None = None

    def text(self) -> str:
        """The note text."""
        body = "{}" if self.body is None else msgspec.json.encode(self.body).decode()
        return "\n".join((_HEADER, self.act, self.name, self.reason, self.who, body, ""))

    def signed(self, signer: SigningKey) -> str:
        """The signed note. Raises CorruptLogError where it could not be read again."""
        note = f"{self.text()}\n{signature_line(signer, self.text().encode())}"
        parse_retention(note)
        return note


class LoggedRetention(NamedTuple):
    """A statement as the log has it; its signature is not checked."""

    position: int
    retention: Retention
    note: str


_BODIES: dict[str, type[Rule] | type[Hold] | None] = {"add": Rule, "hold": Hold, "remove": None, "release": None}


def parse_retention(note: str) -> Retention:
    """The statement of a note; its signature is not checked. Raises CorruptLogError when it is none."""
    text, _ = note_lines(note)
    try:
        header, act, name, reason, who, body, end = text.split("\n")
        kind = _BODIES[act]
        parsed = None if kind is None else msgspec.json.decode(body, type=kind)
        found = Retention(cast("RetentionAct", act), name, reason, who, parsed)
    except (ValueError, KeyError, msgspec.MsgspecError):
        raise CorruptLogError("this is no statement about retention") from None
    if header != _HEADER or end or not (name and reason and who) or found.text() != text:
        raise CorruptLogError("this is no statement about retention, or a malformed one")
    assert act in get_args(RetentionAct)
    return found


def is_retention(subject: str, payload: bytes) -> bool:
    """Return whether a message of the log is a statement about retention, valid or not."""
    if not is_signing_subject(subject) or not payload.startswith(_HEADER.encode()):
        return False
    with contextlib.suppress(CorruptLogError):
        return bool(parse_retention(payload.decode(errors="replace")))
    return False


def read_retention(connection: sqlite.Connection) -> Iterator[LoggedRetention]:
    """The statements of log.db about retention in order; others are passed over."""
    for _, position, note in read_notes(connection, "retention"):
        if note.startswith(_HEADER):
            with contextlib.suppress(CorruptLogError):
                yield LoggedRetention(position, parse_retention(note), note)
