"""A damaged outbox: set aside whole, and what can be read of it put back in line as an outbox of its own."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec

from runlore.producer.outboxes.ledger import NOWHERE, Destination, read_destination
from runlore.producer.outboxes.outbox_file import OutboxFile
from runlore.store.lock import FolderLock
from runlore.store.private_files import read_struct, write_struct

SUFFIXES = (".db", ".db-wal")
"""Of the files that hold events."""
MAX_SINGLES = 20_000
"""Row numbers looked up one at a time where the file cannot be read in order."""

_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB})
_TABLES = {"outbox": "seq, subject, payload", "dead_letters": "seq, subject, payload, reason, failed_at"}


class Damage(msgspec.Struct, frozen=True):
    """What is known of an outbox that was set aside; the file beside it, ending in .json."""

    reason: str
    rescued: int
    """Events that could be read and wait to be sent again."""
    at: float
    """Unix seconds."""


def is_damage(error: BaseException | None) -> bool:
    """Whether an error of SQLite means that the file is damaged, not that it is locked or the disk is full."""
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and (code & 0xFF in _DAMAGE or str(error).startswith("no such"))


def damaged_folder(outboxes: Path) -> Path:
    """Where damaged outboxes are kept."""
    return outboxes / "damaged"


def damaged_outboxes(outboxes: Path) -> list[tuple[Path, Damage]]:
    """Every outbox that was set aside, oldest first."""
    notes = [(path, read_struct(path.with_suffix(".json"), Damage)) for path in damaged_folder(outboxes).glob("*.db")]
    return sorted([(path, note) for path, note in notes if note is not None], key=lambda pair: pair[1].at)


def set_aside(path: Path, reason: str) -> tuple[Damage, Path | None] | None:
    """Keep a copy of a damaged outbox, rescue its events, and remove it; None when somebody has it.

    Returns what is known of it, and the outbox that has the rescued events, if there are any.

    Killed anywhere, it can be done once more: events sent twice count once. Raises OSError or sqlite3.Error when the
    disk has no room for the copies; then nothing has changed.
    """
    lock = FolderLock(path.with_suffix(".lock"), "setting a damaged outbox aside")
    if not lock.try_acquire():
        return None
    try:
        if not path.exists():
            return None
        kept = _copied(path)
        rows = {table: list(_readable(kept, table, columns)) for table, columns in _TABLES.items()}
        again = path.with_name(f"{path.stem}-rescued.db")
        rescued = _written(again, rows, _destination(kept)) if any(rows.values()) else None
        damage = Damage(reason, len(rows["outbox"]), time.time())
        write_struct(kept.with_suffix(".json"), damage)
        for suffix in (".db", ".db-wal", ".db-shm", ".lock"):
            path.with_suffix(suffix).unlink(missing_ok=True)
        return damage, rescued
    finally:
        lock.release()


def _copied(path: Path) -> Path:
    folder = damaged_folder(path.parent)
    folder.mkdir(exist_ok=True, mode=0o700)
    for suffix in reversed(SUFFIXES):  # the .db last: without it there is no copy
        source, target = path.with_suffix(suffix), (folder / path.name).with_suffix(suffix)
        if source.exists():
            beside = target.with_name(f".{target.name}")
            shutil.copyfile(source, beside)
            beside.replace(target)
    return folder / path.name


def _readable(path: Path, table: str, columns: str) -> Iterator[tuple[object, ...]]:
    """Rows of a table in order: read from both ends up to the damage, and one by one between."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    connection.text_factory = lambda data: data.decode(errors="replace")
    try:
        query = f"SELECT {columns} FROM {table}"
        found = {int(row[0]): row for row in _until_damage(connection, f"{query} ORDER BY seq")}
        back = {int(row[0]): row for row in _until_damage(connection, f"{query} ORDER BY seq DESC")}
        if found or back:
            start = max(found, default=0) + 1
            end = min(back, default=start + MAX_SINGLES)
            for seq in range(start, min(end, start + MAX_SINGLES)):
                found.update((int(row[0]), row) for row in _until_damage(connection, f"{query} WHERE seq = {seq}"))
        found.update(back)
        yield from (found[seq] for seq in sorted(found) if isinstance(found[seq][2], bytes))
    finally:
        connection.close()
        path.with_suffix(".db-shm").unlink(missing_ok=True)


def _destination(path: Path) -> Destination:
    """For whom the events are, where that can be read; else for whoever sends them."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)
    try:
        return read_destination(connection)
    except sqlite3.DatabaseError:
        return NOWHERE
    finally:
        connection.close()
        path.with_suffix(".db-shm").unlink(missing_ok=True)


def _until_damage(connection: sqlite3.Connection, query: str) -> Iterator[tuple[int, str, bytes]]:
    with contextlib.suppress(sqlite3.DatabaseError):
        yield from connection.execute(query)


def _written(path: Path, rows: dict[str, list[tuple[object, ...]]], destination: Destination) -> Path:
    # Never renamed over a file that was there: a write-ahead log that is left over would be played into it.
    beside = path.with_suffix(".rescue")
    for suffix in ("", "-wal", "-shm"):
        beside.with_name(beside.name + suffix).unlink(missing_ok=True)
    file = OutboxFile(beside)
    with file.connection as connection:
        connection.execute("BEGIN")
        connection.execute("INSERT OR IGNORE INTO destination VALUES (1, ?, ?, ?)", destination)
        for table, found in rows.items():
            marks = ", ".join("?" for _ in _TABLES[table].split(","))
            connection.executemany(f"INSERT OR IGNORE INTO {table} ({_TABLES[table]}) VALUES ({marks})", found)
    file.connection.close()
    if path.exists():
        path = path.with_name(f"{path.stem}-{time.time_ns()}.db")
    return beside.rename(path)
