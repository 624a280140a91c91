"""Identifiers: UUIDv7 (RFC 9562 §5.7), time-ordered so that indexes on them stay local; and the salts of events."""

from __future__ import annotations

import os

import uuid_utils

SALT_BYTES = 16


def new_id() -> str:
    """A new UUIDv7 in its 36-character text form."""
    return str(uuid_utils.uuid7())


def new_salt() -> bytes:
    """Random bytes for one event, which make the hash of its payload a commitment that hides the payload."""
    return os.urandom(SALT_BYTES)
