"""What can be read of a damaged outbox of an older version, which was a SQLite file."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runlore.producer.outboxes.gates import SQLITE_GATE
from runlore.producer.outboxes.ledger import NOWHERE, Destination, Letter
from runlore.producer.outboxes.rows import Row
from runlore.store.ownership import make_private_file

SUFFIXES = (".db", ".db-wal")
"""Of the files that hold events."""
MAX_SINGLES = 20_000
"""Row numbers looked up one at a time where the file cannot be read in order."""

_ROWS, _LETTERS = "SELECT seq, subject, payload", "SELECT seq, subject, payload, reason, failed_at"


def keep_copy(path: Path) -> Path:
    """Copy the file into the folder of damaged ones; return the copy."""
    folder = path.parent / "damaged"
    for suffix in reversed(SUFFIXES):  # the .db last: without it there is no copy
        source, target = path.with_suffix(suffix), (folder / path.name).with_suffix(suffix)
        if source.exists():
            beside = target.with_name(f".{target.name}")
            beside.unlink(missing_ok=True)
            make_private_file(beside)
            shutil.copyfile(source, beside)
            beside.replace(target)
    return folder / path.name


def readable(path: Path) -> tuple[list[Row], list[Letter], Destination]:
    """Rows, dead letters and destination, as far as they can be read."""
    with SQLITE_GATE:
        rows = [Row(*row) for row in _read(path, f"{_ROWS} FROM outbox")]
        letters = [Letter(*row) for row in _read(path, f"{_LETTERS} FROM dead_letters")]
        return rows, letters, _destination(path)


def _open(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    connection.text_factory = _readable
    return connection


def _readable(text: bytes) -> str:
    return text.decode(errors="replace")


def _read(path: Path, query: str) -> list[Any]:
    """Rows in order: read from both ends up to the damage, and one by one between."""
    with contextlib.closing(_open(path)) as connection:
        found = {row[0]: row for row in _until_damage(connection, f"{query} ORDER BY seq")}
        back = {row[0]: row for row in _until_damage(connection, f"{query} ORDER BY seq DESC")}
        if found or back:
            start = max(found, default=0) + 1
            end = min(back, default=start + MAX_SINGLES)
            for seq in range(start, min(end, start + MAX_SINGLES)):
                found.update((row[0], row) for row in _until_damage(connection, f"{query} WHERE seq = {seq}"))
    path.with_suffix(".db-shm").unlink(missing_ok=True)
    found.update(back)
    return [found[seq] for seq in sorted(found)]


def _until_damage(connection: sqlite3.Connection, query: str) -> Iterator[Any]:
    with contextlib.suppress(sqlite3.DatabaseError):
        # SQLite lets any cell have any type, and damage makes use of that.
        yield from (row for row in connection.execute(query) if isinstance(row[1], str) and isinstance(row[2], bytes))


def _destination(path: Path) -> Destination:
    """For whom the events are, where that can be read; else for whoever sends them."""
    with contextlib.closing(_open(path)) as connection, contextlib.suppress(sqlite3.DatabaseError):
        found = connection.execute("SELECT server, project, epoch FROM destination").fetchone()
        return Destination(*found) if found else NOWHERE
    return NOWHERE
