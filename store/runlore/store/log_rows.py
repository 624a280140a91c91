"""Rows of log.db: messages as the stream delivered them, and positions that it does not hold."""

from __future__ import annotations

from hashlib import sha256
from typing import NamedTuple


class Received(NamedTuple):
    """One message as the stream delivered it: a row of ``log`` without `duplicate_of`."""

    position: int
    event_id: str | None
    recorded_ns: int
    subject: str
    headers: bytes
    payload: bytes


class LogRow(NamedTuple):
    """One message as the fold reads it."""

    position: int
    event_id: str | None
    recorded_ns: int
    subject: str
    payload: bytes
    duplicate_of: int | None
    conflicts: bool = False
    """True if it has the event ID of that first one and other content: a forgery, or a bug."""
    erased: bool = False
    """True if values were erased from it, as a statement in the log says."""
    trusted: bool = False
    """True for a statement about an actor's key that a key of this log has signed."""

    @property
    def digest(self) -> bytes:
        """SHA-256 of the event's payload, then its subject."""
        return sha256(self.payload + self.subject.encode(errors="surrogatepass")).digest()


class Gap(NamedTuple):
    """Positions, both ends included, that the stream does not hold."""

    first: int
    last: int
    reason: str
