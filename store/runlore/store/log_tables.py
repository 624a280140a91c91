"""The tables of log.db."""

from __future__ import annotations

from pathlib import Path

from runlore.schemas.errors import NewerSchemaError
from runlore.store.database import Database, Migrations
from runlore.store.sqlite import sqlite

log_migrations = Migrations("runlore_log")


def _append_only(*tables: str) -> list[str]:
    """Triggers that refuse to change or remove a row."""
    return [
        f"""CREATE TRIGGER {table}_is_append_only_{change.lower()} BEFORE {change} ON {table}
            BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END"""
        for table in tables
        for change in ("UPDATE", "DELETE")
    ]


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
    *_append_only("log"),
)


@log_migrations()
def log_v1(db: Database) -> None:
    """The first version of all tables."""
    for statement in _LOG_V1:
        db.conn.execute(statement)


_LOG_V2 = (
    """CREATE TABLE tree_state (
        id INTEGER PRIMARY KEY CHECK (id = 1),
        position INTEGER NOT NULL,      -- the tree covers the log up to here
        size INTEGER NOT NULL,          -- leaves
        range BLOB NOT NULL             -- the compact range: see schemas, audit/tree.py
    ) STRICT""",
    """CREATE TABLE tree_leaves (
        block INTEGER PRIMARY KEY,      -- leaves 256 * block and on
        hashes BLOB NOT NULL            -- 256 leaf hashes of 32 bytes
    ) STRICT""",
    """CREATE TABLE tree_nodes (
        level INTEGER NOT NULL,         -- 8 and above
        idx INTEGER NOT NULL,
        hash BLOB NOT NULL,
        PRIMARY KEY (level, idx)
    ) STRICT, WITHOUT ROWID""",
    """CREATE TABLE checkpoints (
        size INTEGER PRIMARY KEY,       -- leaves it speaks for; the key, so that no size is signed twice
        note TEXT NOT NULL,             -- the signed note: C2SP tlog-checkpoint
        created_ns INTEGER NOT NULL
    ) STRICT""",
    "INSERT INTO tree_state VALUES (1, 0, 0, x'')",
    *_append_only("tree_leaves", "tree_nodes", "checkpoints", "gaps"),
)


@log_migrations()
def log_v2(db: Database) -> None:
    """The Merkle tree over the log, and its signed checkpoints."""
    for statement in _LOG_V2:
        db.conn.execute(statement)


_LOG_V3 = (
    """CREATE TABLE cosignatures (
        size INTEGER NOT NULL,          -- of the checkpoint
        witness TEXT NOT NULL,          -- name and key ID
        line TEXT NOT NULL,             -- the note's line: C2SP tlog-cosignature
        PRIMARY KEY (size, witness)
    ) STRICT, WITHOUT ROWID""",
    *_append_only("cosignatures"),
)


@log_migrations()
def log_v3(db: Database) -> None:
    """What witnesses say about checkpoints."""
    for statement in _LOG_V3:
        db.conn.execute(statement)


_LOG_V4 = (
    """CREATE TABLE erasures (
        position INTEGER PRIMARY KEY,   -- of a row of log whose payload was redacted
        statement INTEGER NOT NULL,     -- the position of the erasure that says so
        payload_hash BLOB NOT NULL,     -- SHA-256 of the payload as it was logged: its leaf has it
        redacted_hash BLOB NOT NULL     -- SHA-256 of the payload that is there now
    ) STRICT""",
    "DROP TRIGGER log_is_append_only_update",
    """CREATE TRIGGER log_is_append_only_update BEFORE UPDATE ON log
        WHEN NOT (new.position = old.position AND new.event_id IS old.event_id AND new.recorded_ns = old.recorded_ns
            AND new.subject = old.subject AND new.headers = old.headers AND new.duplicate_of IS old.duplicate_of
            AND EXISTS (SELECT 1 FROM erasures e WHERE e.position = old.position))
        BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END""",
    """CREATE TRIGGER erasures_is_append_only_delete BEFORE DELETE ON erasures
        BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END""",
)


@log_migrations()
def log_v4(db: Database) -> None:
    """Erased values: rows whose payload was redacted."""
    for statement in _LOG_V4:
        db.conn.execute(statement)


_LOG_V5 = (
    """CREATE TABLE timestamps (
        size INTEGER PRIMARY KEY,       -- of the checkpoint
        response BLOB NOT NULL          -- of a time-stamping authority: RFC 3161, TimeStampResp
    ) STRICT""",
    *_append_only("timestamps"),
)


@log_migrations()
def log_v5(db: Database) -> None:
    """When checkpoints were seen."""
    for statement in _LOG_V5:
        db.conn.execute(statement)


def require_known_tables(path: Path, connection: sqlite.Connection) -> None:
    """Raises NewerSchemaError for a log.db in which a newer version has made tables: this one may misread it."""
    table = Migrations.migrations_table
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone() is None:
        return
    known = {migration.name for migration in log_migrations._migrations}  # pyright: ignore[reportPrivateUsage] -- no other list
    applied = connection.execute(f"SELECT name FROM {table} WHERE migration_set = ?", (log_migrations.name,))
    newer = sorted({_text(row[0]) for row in applied} - known)
    if newer:
        raise NewerSchemaError(
            f"{path} was written by a newer version of Runlore ({', '.join(newer)}): install that version, or a later "
            "one. Nothing was changed"
        )


def _text(name: str | bytes) -> str:
    return name.decode(errors="replace") if isinstance(name, bytes) else name
