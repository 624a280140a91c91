"""The tables of log.db."""

from __future__ import annotations

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

log_migrations = Migrations("runlore_log")

_LOG_V1 = (
    """CREATE TABLE log (
        position INTEGER PRIMARY KEY,   -- the stream's sequence number
        event_id TEXT,                  -- the Nats-Msg-Id header
        recorded_ns INTEGER NOT NULL,   -- the server's clock, nanoseconds since 1970
        subject TEXT NOT NULL,
        headers BLOB NOT NULL,          -- the NATS header block; empty when there is none
        payload BLOB NOT NULL,
        duplicate_of INTEGER            -- position of the first copy; such rows are never folded
    ) STRICT""",
    """CREATE UNIQUE INDEX log_event ON log (event_id)
        WHERE event_id IS NOT NULL AND duplicate_of IS NULL""",
    """CREATE TABLE log_state (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        position INTEGER NOT NULL,      -- everything up to here is in log or in gaps; the fence
        epoch TEXT NOT NULL,            -- the stream this is a copy of
        stream TEXT NOT NULL,
        created REAL NOT NULL           -- Unix seconds
    ) STRICT""",
    """CREATE TABLE gaps (
        first INTEGER PRIMARY KEY,      -- positions that the stream itself no longer holds
        last INTEGER NOT NULL,
        noticed_ns INTEGER NOT NULL,
        reason TEXT NOT NULL
    ) STRICT""",
    """CREATE TRIGGER log_is_append_only_update BEFORE UPDATE ON log
        BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END""",
    """CREATE TRIGGER log_is_append_only_delete BEFORE DELETE ON log
        BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END""",
)


@log_migrations()
def log_v1(db: Database) -> None:
    """The first version of all tables."""
    for statement in _LOG_V1:
        db.conn.execute(statement)
