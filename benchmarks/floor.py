"""The bare floor of folding: SQLite alone, with the rows that a view needs for the same events."""

from __future__ import annotations

import random
import sqlite3
import time
from pathlib import Path

LEAVES = 5
"""Values of one event of `five_values`, its list counted once."""

_TABLES = """
CREATE TABLE history (entity INTEGER, path INTEGER, position INTEGER, type TEXT, value ANY, text TEXT,
    PRIMARY KEY (entity, path, position)) STRICT, WITHOUT ROWID;
CREATE TABLE heads (entity INTEGER, path INTEGER, position INTEGER, type TEXT, value ANY, text TEXT,
    PRIMARY KEY (entity, path)) STRICT, WITHOUT ROWID;
CREATE TABLE events (position INTEGER PRIMARY KEY, event_id TEXT NOT NULL UNIQUE, type TEXT, occurred INTEGER,
    recorded INTEGER, actor INTEGER, producer INTEGER, seq INTEGER) STRICT;
"""


def bare_rows(folder: Path, events: int, entities: int, batch: int = 4000) -> float:
    """Seconds that `executemany` needs for history, heads and events, one transaction a batch, sorted by key."""
    target = sqlite3.connect(folder / "bare.db", isolation_level=None)
    target.execute("PRAGMA journal_mode = WAL")
    target.execute("PRAGMA synchronous = NORMAL")
    target.executescript(_TABLES)
    seconds = 0.0
    for first in range(0, events, batch):
        places = range(first, min(first + batch, events))
        cells = sorted(
            (n % entities, leaf, n, "float", random.random(), None) for n in places for leaf in range(LEAVES)
        )
        rows = [(n, f"{n:036d}", "metadata_logged", n, n, 1, 1, n) for n in places]
        started = time.perf_counter()
        target.execute("BEGIN")
        target.executemany("INSERT INTO history VALUES (?, ?, ?, ?, ?, ?)", cells)
        target.executemany("INSERT OR REPLACE INTO heads VALUES (?, ?, ?, ?, ?, ?)", cells)
        target.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?, ?)", rows)
        target.execute("COMMIT")
        seconds += time.perf_counter() - started
    target.close()
    for suffix in ("", "-wal", "-shm"):
        (folder / f"bare.db{suffix}").unlink(missing_ok=True)
    return seconds
