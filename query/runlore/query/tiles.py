"""The log as static resources: C2SP tlog-tiles, out of log.db.

Only what the newest checkpoint covers is given out. An entry is the leaf that docs/audit.md describes: hashes stand in
it for header block and payload, so that entries show who logged what about which entity when, and not the values.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from typing import Any

from runlore.query.evidence import log_of
from runlore.query.scope import Scope
from runlore.schemas.errors import CorruptLogError, NotFoundError
from runlore.store.audit.checkpoint import read_unchecked
from runlore.store.audit.leaf import LeafCoder
from runlore.store.audit.stored_notes import newest_note
from runlore.store.audit.tree import StoredNodes, leaf_index, read_tree
from runlore.store.sqlite import sqlite

WIDTH = 256
"""Hashes of a full tile, and entries of a full bundle."""
LEVELS = 64
MAX_ENTRY = 0xFFFF

_ADDRESS = re.compile(r"((?:x\d{3}/)*)(\d{3})(?:\.p/([1-9]\d{0,2}))?")
_ROWS = """SELECT position, event_id, recorded_ns, subject, headers, payload FROM log
    WHERE position >= ? ORDER BY position LIMIT ?"""
_GAPS = "SELECT first, last, reason FROM gaps WHERE last >= ? ORDER BY first LIMIT ?"


def checkpoint_note(scope: Scope) -> str:
    """The newest checkpoint, with its cosignatures. Raises NotFoundError when there is none."""
    with log_of(scope) as log:
        return _newest(log)[0]


def hash_tile(scope: Scope, level: int, address: str) -> bytes:
    """Hashes of complete subtrees of 256**level leaves. Raises NotFoundError beyond the newest checkpoint."""
    with log_of(scope) as log:
        if not 0 <= level < LEVELS:
            raise NotFoundError(f"a tile's level is a number from 0 to {LEVELS - 1}")
        index, width = tile_place(address, _newest(log)[1] >> (8 * level))
        nodes = StoredNodes(log)
        return b"".join(nodes(8 * level, index * WIDTH + number) for number in range(width))


def entry_bundle(scope: Scope, address: str) -> bytes:
    """Entries, each after its length in two bytes. Raises NotFoundError beyond the newest checkpoint."""
    with log_of(scope) as log:
        index, width = tile_place(address, _newest(log)[1])
        epoch, stream = log.execute("SELECT epoch, stream FROM log_state").fetchone()
        found = list(_entries(log, LeafCoder(epoch.decode(), stream.decode()), index * WIDTH, width))
        if len(found) != width or any(len(entry) > MAX_ENTRY for entry in found):
            raise CorruptLogError(f"entries from {index * WIDTH:,} on cannot be given out: `runlore audit verify`")
        return b"".join(struct.pack(">H", len(entry)) + entry for entry in found)


def tile_place(address: str, count: int) -> tuple[int, int]:
    """Index and width of a tile, by its address behind the level, of `count` hashes there are at its level.

    Raises NotFoundError when it is no address, or there are not as many.
    """
    found = _ADDRESS.fullmatch(address)
    if found is None or (found[1] + found[2]).startswith("x000"):
        raise NotFoundError("no such tile: the address of tile 1234067 is x001/x234/067, and .p/3 has its first three")
    index = int(found[1].replace("x", "").replace("/", "") + found[2])
    width = int(found[3] or WIDTH)
    if width > WIDTH - bool(found[3]) or index * WIDTH + width > count:
        raise NotFoundError("the newest checkpoint does not cover this tile")
    return index, width


def _newest(log: sqlite.Connection) -> tuple[str, int]:
    stored = newest_note(log)
    if stored is None:
        raise NotFoundError("the log has no signed checkpoint yet")
    checkpoint, _ = read_unchecked(stored.note)
    return stored.note, checkpoint.size


def _entries(log: sqlite.Connection, coder: LeafCoder, first: int, count: int) -> Iterator[bytes]:
    """The leaves from an index on, out of rows and gaps in the order of positions."""
    position = _position_of(log, first)
    rows: list[Any] = [(row[0], row) for row in log.execute(_ROWS, (position, count))]
    gaps: list[Any] = [(gap[0], gap) for gap in log.execute(_GAPS, (position, count))]
    for _, row in sorted(rows + gaps, key=lambda pair: pair[0])[:count]:
        yield coder.gap_entry(*row) if len(row) == 3 else coder.event_entry(*row)


def _position_of(log: sqlite.Connection, index: int) -> int:
    """The first position of the leaf of an index: leaf numbers never fall as positions rise."""
    low, high = 1, read_tree(log)[0]
    while low < high:
        middle = (low + high) // 2
        if leaf_index(log, middle) < index:
            low = middle + 1
        else:
            high = middle
    return low
