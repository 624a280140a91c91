"""Identifiers: UUIDv7 (RFC 9562 §5.7), time-ordered so that indexes on them stay local; and the salts of events."""

from __future__ import annotations

import os

import uuid_utils

SALT_BYTES = 16
SALTS = 512
"""Drawn from the system at once: each time another thread gets the interpreter, for milliseconds if it is busy."""

_salts: list[bytes] = []
os.register_at_fork(after_in_child=_salts.clear)  # the parent uses them


def new_id() -> str:
    """A new UUIDv7 in its 36-character text form."""
    return str(uuid_utils.uuid7())


def new_salt() -> bytes:
    """Random bytes for one event, which make the hash of its payload a commitment that hides the payload."""
    try:
        return _salts.pop()
    except IndexError:
        drawn = os.urandom(SALT_BYTES * SALTS)
        _salts.extend(drawn[start : start + SALT_BYTES] for start in range(SALT_BYTES, len(drawn), SALT_BYTES))
        return drawn[:SALT_BYTES]
