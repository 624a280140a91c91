"""The statement about an actor's key that a command left in the data folder, until it is in the log."""

from __future__ import annotations

from runlore.schemas.errors import CorruptLogError
from runlore.store.audit.actor_keys import next_actor_key_id, parse_actor_key, read_actor_keys
from runlore.store.folder import DataDir
from runlore.store.sqlite import sqlite


def waiting_actor_key(data: DataDir, connection: sqlite.Connection) -> tuple[str, str] | None:
    """The note that has to be put into the log, if any, and the message ID for it. `connection`: of log.db."""
    try:
        note = data.actor_key.read_text(encoding="utf-8")
        parse_actor_key(note)
    except (FileNotFoundError, UnicodeDecodeError, CorruptLogError):
        return None
    if any(logged.note == note for logged in read_actor_keys(connection)):
        data.actor_key.unlink()
        return None
    return note, next_actor_key_id(connection)
