"""Identifiers: UUIDv7 (RFC 9562 §5.7), time-ordered so that indexes on them stay local."""

from __future__ import annotations

import uuid_utils


def new_id() -> str:
    """A new UUIDv7 in its 36-character text form."""
    return str(uuid_utils.uuid7())
