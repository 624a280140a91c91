"""Damaged outboxes: set aside whole, and what can be read of them put back in line as outboxes of their own."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

import msgspec

from runlore.producer.outboxes.gates import IMPORT_GATE
from runlore.producer.outboxes.ledger import Began, Destination, Ledger, Letter
from runlore.producer.outboxes.outbox import OLD_SUFFIX, SUFFIX, Outbox, open_ledger
from runlore.producer.outboxes.rows import DamagedError, Row
from runlore.producer.outboxes.segment_format import salvage
from runlore.producer.outboxes.segments import Segments, segment_paths
from runlore.store.lock import FolderLock
from runlore.store.private_files import read_struct, write_struct


class Damage(msgspec.Struct, frozen=True):
    """What is known of an outbox that was set aside; the file beside it, ending in .json."""

    reason: str
    rescued: int
    """Events that could be read and wait to be sent again."""
    at: float
    """Unix seconds."""


def damaged_folder(outboxes: Path) -> Path:
    """Where damaged outboxes are kept."""
    return outboxes / "damaged"


def damaged_outboxes(outboxes: Path) -> list[tuple[Path, Damage]]:
    """Every outbox that was set aside, oldest first."""
    folder = damaged_folder(outboxes)
    paths = [*folder.glob(f"*{SUFFIX}"), *folder.glob(f"*{OLD_SUFFIX}")]
    notes = [(path, read_struct(path.with_suffix(".json"), Damage)) for path in paths]
    return sorted([(path, note) for path, note in notes if note is not None], key=lambda pair: pair[1].at)


def set_aside(path: Path, reason: str) -> tuple[Damage, Path | None] | None:
    """Keep a damaged outbox elsewhere and rescue its events; None when somebody has it.

    Returns what is known of it, and the outbox that has the rescued events, if there are any.

    Killed anywhere, it can be done once more: events sent twice count once. Raises OSError when the disk has no room
    for what is rescued; then nothing has changed.
    """
    lock = FolderLock(path.with_suffix(".lock"), "setting a damaged outbox aside")
    if not lock.try_acquire():
        return None
    try:
        if not path.exists():
            return None
        damaged_folder(path.parent).mkdir(exist_ok=True, mode=0o700)
        if path.suffix == OLD_SUFFIX:
            with IMPORT_GATE:
                from runlore.producer.outboxes.damaged_sqlite import keep_copy, readable

            rows, letters, destination = readable(keep_copy(path))
            done = rescue(path, rows, letters, destination, reason)
            for suffix in (".db", ".db-wal", ".db-shm", ".journal"):
                path.with_suffix(suffix).unlink(missing_ok=True)
        else:
            ledger = open_ledger(path, _began(path))
            letters = list(ledger.letters.values())
            done = rescue(path, _whole_rows(path, ledger), letters, ledger.destination(), reason)
            path.rename(damaged_folder(path.parent) / path.name)
        path.with_suffix(".lock").unlink(missing_ok=True)
        return done
    finally:
        lock.release()


def _began(path: Path) -> Began:
    try:
        return Segments(path).began()
    except DamagedError:
        return Began()


def _whole_rows(path: Path, ledger: Ledger) -> Iterable[Row]:
    for segment in segment_paths(path):
        for row in salvage(segment.read_bytes(), path.stem, int(segment.stem)):
            if row.seq > ledger.gone and row.seq not in ledger.skipped:
                yield row


def rescue(
    path: Path, rows: Iterable[Row], letters: Iterable[Letter], destination: Destination, reason: str
) -> tuple[Damage, Path | None]:
    """Write what could be read into a new outbox, and a note beside the damaged one."""
    name = f"{path.stem}-rescued"
    if path.with_name(f"{name}{SUFFIX}").exists():
        name = f"{name}-{time.time_ns()}"
    again = Outbox.create(path.parent, name, destination)
    try:
        count = 0
        for count, row in enumerate(rows, 1):
            again.insert(count, row.subject, row.payload)
        if letters := list(letters):
            again.ledger.take_letters(letters)
    except BaseException:  # KeyboardInterrupt too: half a copy must not be taken for the whole
        again.discard()
        raise
    again.close()
    damage = Damage(reason, count, time.time())
    write_struct((damaged_folder(path.parent) / path.name).with_suffix(".json"), damage)
    return damage, again.path if again.path.exists() else None
