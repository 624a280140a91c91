"""Rows for tests of an outbox's files."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import astuple

from runlore.producer.outboxes.outbox import Outbox
from runlore.producer.outboxes.rows import Row

__all__ = ["UNIT", "add", "replace", "row"]

UNIT = 64 * 1024
"""Bytes of a segment, where tests want many."""


def row(seq: int, size: int = 100) -> Row:
    return Row(seq, f"runlore.default.model.m{seq}", bytes([seq % 256]) * size)


def add(outbox: Outbox, *rows: Row) -> None:
    for one in rows:
        with outbox.lock:
            outbox.insert(*astuple(one))


def replace(path: Path, data: bytes) -> None:
    path.unlink()  # a file that is cut and written again is flushed to the disk
    path.write_bytes(data)
