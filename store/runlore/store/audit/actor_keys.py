"""Statements of the log that a public key is an actor's from there on, or no longer.

    runlore/actor/v1
    registered                           or revoked
    <name of the actor>
    <public key, 64 hex digits>
    <reason>

    \u2014 signature of the log's key

It is a C2SP signed note under the subject of statements, so a leaf of the tree; message IDs number them. An event that
a registered key has signed proves its actor if it lies behind the registration, and before the revocation: positions
decide, not clocks.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator
from typing import Literal, NamedTuple, cast, get_args

from runlore.schemas.errors import CorruptLogError
from runlore.schemas.limits import MAX_NAME_BYTES
from runlore.schemas.shards import is_signing_subject
from runlore.schemas.signatures import KEY_BYTES, Signer, Standing
from runlore.store.audit.checkpoint import SigningKey, note_lines, signature_line
from runlore.store.sqlite import sqlite

KeyState = Literal["registered", "revoked"]

HEADER = b"runlore/actor/v1\n"
MAX_REASON_BYTES = 2000
_ROW = "SELECT position, subject, payload FROM log WHERE event_id = ? AND duplicate_of IS NULL"


class ActorKey(NamedTuple):
    """A statement about an actor's key."""

    state: KeyState
    actor: str
    key: str
    """64 hex digits."""
    reason: str

    def text(self) -> str:
        """The note text."""
        return HEADER.decode() + "\n".join((self.state, self.actor, self.key, self.reason, ""))

    def signed(self, signer: SigningKey) -> str:
        """The signed note. Raises CorruptLogError where it could not be read again."""
        note = f"{self.text()}\n{signature_line(signer, self.text().encode())}"
        parse_actor_key(note)
        return note


class LoggedActorKey(NamedTuple):
    """The same as the log has it; its signature is not checked."""

    position: int
    stated: ActorKey
    note: str


class ActorKeys:
    """The keys of actors at a position of the log, from the statements before it."""

    def __init__(self, statements: Iterable[ActorKey] = ()) -> None:
        self._signers: dict[str, Signer] = {}
        for stated in statements:
            self.take(stated)

    def take(self, stated: ActorKey) -> None:
        """Go past a statement that the log's key has signed."""
        standing: Standing = "proved" if stated.state == "registered" else "revoked"
        self._signers[stated.key] = Signer(stated.key, standing, stated.actor)

    def signer(self, key: bytes) -> Signer:
        """The key, with the actor whose it is here."""
        text = key.hex()
        return self._signers.get(text) or Signer(text, "unknown")


def parse_actor_key(note: str) -> ActorKey:
    """The statement of a note; its signature is not checked. Raises CorruptLogError when it is none."""
    text, _ = note_lines(note)
    try:
        _, state, actor, key, reason, end = text.split("\n")
        found = ActorKey(cast("KeyState", state), actor, key, reason)
        sizes = len(bytes.fromhex(key)), len(actor.encode()), len(reason.encode())
    except ValueError:
        raise CorruptLogError("this is not a statement about an actor's key") from None
    sized = sizes[0] == KEY_BYTES and 0 < sizes[1] <= MAX_NAME_BYTES and 0 < sizes[2] <= MAX_REASON_BYTES
    if not sized or state not in get_args(KeyState) or end or key != key.lower() or found.text() != text:
        raise CorruptLogError("this is not a statement about an actor's key, or a malformed one")
    return found


def actor_key_in(subject: str, payload: bytes) -> ActorKey | None:
    """The statement about an actor's key in a message of the log, signed by whomever; None if it is none."""
    if payload.startswith(HEADER) and is_signing_subject(subject):
        with contextlib.suppress(CorruptLogError):
            return parse_actor_key(payload.decode(errors="replace"))
    return None


def actor_key_id(number: int) -> str:
    """The message ID of the log's statement of this number about actors' keys, from 1."""
    return f"runlore-actor-{number}"


def read_actor_keys(connection: sqlite.Connection) -> Iterator[LoggedActorKey]:
    """The statements about actors' keys in log.db, in order; what is none of them is passed over."""
    number = 0
    while (row := connection.execute(_ROW, (actor_key_id(number := number + 1),)).fetchone()) is not None:
        subject = row[1].decode(errors="replace") if isinstance(row[1], bytes) else row[1]
        stated = actor_key_in(subject, bytes(row[2]))
        if stated is not None:
            yield LoggedActorKey(row[0], stated, bytes(row[2]).decode(errors="replace"))


def next_actor_key_id(connection: sqlite.Connection) -> str:
    """The message ID of the statement that comes next."""
    number = 1
    while connection.execute(_ROW, (actor_key_id(number),)).fetchone() is not None:
        number += 1
    return actor_key_id(number)
