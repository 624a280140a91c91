"""A look at an outbox from outside, whoever has it: nothing is locked or waited for."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from runlore.producer.outboxes.ledger import Destination
from runlore.producer.outboxes.outbox import open_ledger, open_rows
from runlore.producer.outboxes.rows import DeadLetter, Row


class Look(NamedTuple):
    """What an outbox holds."""

    waiting: int
    kept: int
    dead: list[DeadLetter]
    pid: int | None
    created: float | None
    destination: Destination
    first: bytes | None
    """The first waiting event."""


def look_at(path: Path) -> Look:
    """Raises DamagedError, OSError."""
    with closing(open_rows(path)) as rows:
        ledger = open_ledger(path, rows.began())
        acknowledged, skipped = ledger.acknowledged, ledger.skipped
        waiting = rows.count(acknowledged) - sum(seq > acknowledged for seq in skipped)
        kept = rows.count(ledger.gone) - sum(seq > ledger.gone for seq in skipped) - waiting
        first = rows.read(acknowledged, 1, 1, skipped)
        info = rows.info()
        return Look(
            waiting,
            kept,
            ledger.dead_letters(),
            None if info is None else info.pid,
            None if info is None else info.created,
            ledger.destination(),
            first[0].payload if first else None,
        )


def rows_of(path: Path) -> list[Row]:
    """Every row that has not left an outbox. Raises DamagedError, OSError."""
    with closing(open_rows(path)) as rows:
        ledger = open_ledger(path, rows.began())
        return [row for row in rows.rows(ledger.gone) if row.seq not in ledger.skipped]
