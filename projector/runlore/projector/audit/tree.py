"""The tree as log.db keeps it: a compact range that grows, complete blocks of leaves, and the nodes above them.

A block is 256 leaf hashes, one row of `tree_leaves`; `tree_nodes` holds the complete subtrees of level 8 (a block) and
higher. So an event costs 36 bytes on disk, and a proof reads a few rows instead of hashing the log.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from runlore.projector.audit.merkle import HASH_BYTES, hash_children, root_of
from runlore.projector.database import Connection, open_raw_reader
from runlore.schemas.errors import CorruptLogError, NotFoundError

BLOCK_LEVEL = 8
BLOCK = 1 << BLOCK_LEVEL
"""Leaves in one row of `tree_leaves`."""

_TREE_TABLES = ("tree_state", "tree_leaves", "tree_nodes", "checkpoints")
_TABLES = ("log", "log_state", "gaps", *_TREE_TABLES)

_BLOCK_BYTES = BLOCK * HASH_BYTES

NodeRow = tuple[int, int, bytes]
"""Level, index, hash."""


class Tree(NamedTuple):
    """A compact range over the first `size` leaves: all there is to know to append and to name the root.

    `peaks`: the complete subtrees of level 8 and above, largest first. `tail`: the leaf hashes after them, fewer than
    a block of them.
    """

    size: int = 0
    peaks: tuple[bytes, ...] = ()
    tail: bytes = b""

    def root(self) -> bytes:
        """The root hash over all leaves."""
        peaks = list(self.peaks)
        root = peaks.pop() if peaks and not self.tail else root_of(self.tail)
        for peak in reversed(peaks):
            root = hash_children(peak, root)
        return root

    def grown(self, leaves: Sequence[bytes]) -> Growth:
        """The tree with these leaf hashes after its own, and what became complete with them."""
        waiting = self.tail + b"".join(leaves)
        peaks, first = list(self.peaks), self.size >> BLOCK_LEVEL
        blocks: list[tuple[int, bytes]] = []
        nodes: list[NodeRow] = []
        whole = len(waiting) // _BLOCK_BYTES
        for number in range(whole):
            block = waiting[number * _BLOCK_BYTES : (number + 1) * _BLOCK_BYTES]
            blocks.append((first + number, block))
            nodes += _merged(peaks, first + number, root_of(block))
        tail = waiting[whole * _BLOCK_BYTES :]
        return Growth(Tree(self.size + len(leaves), tuple(peaks), tail), blocks, nodes)

    def packed(self) -> bytes:
        """The bytes of the column `range`: peaks, then tail; `size` says where one ends."""
        return b"".join(self.peaks) + self.tail

    @classmethod
    def unpacked(cls, size: int, packed: bytes) -> Tree:
        """The tree that `packed` gave. Raises CorruptLogError when the bytes do not fit the size."""
        peaks = (size >> BLOCK_LEVEL).bit_count() * HASH_BYTES
        if size < 0 or len(packed) != peaks + size % BLOCK * HASH_BYTES:
            raise CorruptLogError(f"the tree's range has {len(packed)} bytes, which is no tree of {size} leaves")
        return cls(
            size, tuple(packed[at : at + HASH_BYTES] for at in range(0, peaks, HASH_BYTES)), bytes(packed[peaks:])
        )


class Growth(NamedTuple):
    """A grown tree, and the rows for what it completed."""

    tree: Tree
    blocks: list[tuple[int, bytes]]
    nodes: list[NodeRow]


def _merged(peaks: list[bytes], block: int, node: bytes) -> list[NodeRow]:
    """Add a block's node to the peaks like a one to a binary number; all nodes this completes."""
    level, index = BLOCK_LEVEL, block
    rows = [(level, index, node)]
    while index & 1:
        node = hash_children(peaks.pop(), node)
        level, index = level + 1, index >> 1
        rows.append((level, index, node))
    peaks.append(node)
    return rows


def store_growth(connection: Connection, growth: Growth, old: int, new: int) -> None:
    """Write a grown tree into the open transaction; it covers the log's positions up to `new` then, `old` before.

    Raises CorruptLogError when the stored tree does not stand at `old`.
    """
    connection.executemany("INSERT INTO tree_leaves VALUES (?, ?)", growth.blocks)
    connection.executemany("INSERT INTO tree_nodes VALUES (?, ?, ?)", growth.nodes)
    tree = growth.tree
    moved = connection.execute(
        "UPDATE tree_state SET position = ?, size = ?, range = ? WHERE id = 1 AND position = ?",
        (new, tree.size, bytearray(tree.packed()), old),  # sqlite3 binds bytearray faster than bytes
    )
    if moved.rowcount != 1:
        raise CorruptLogError(f"the tree of log.db does not stand at position {old}: nothing was stored")


def read_tree(connection: Connection) -> tuple[int, Tree]:
    """The position that the stored tree covers, and the tree. Raises CorruptLogError."""
    row = connection.execute("SELECT position, size, range FROM tree_state").fetchone()
    if row is None:
        raise CorruptLogError("log.db has lost the state of its tree")
    return int(row[0]), Tree.unpacked(int(row[1]), row[2])


def open_audited(path: Path) -> Connection:
    """A raw reader of a log that has a tree. Raises NotFoundError, CorruptLogError when tables are gone."""
    if not path.exists():
        raise NotFoundError(f"no log at {path}: the projector makes it when it first sees the stream")
    with contextlib.ExitStack() as unfit:
        connection = open_raw_reader(path)
        unfit.callback(connection.close)
        _require_tables(connection, path)
        unfit.pop_all()
    return connection


def _require_tables(connection: Connection, path: Path) -> None:
    found = {name.decode() for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    missing = [table for table in _TABLES if table not in found]
    if not missing:
        return
    if not found:
        raise CorruptLogError(f"{path} holds no tables: it was emptied, or cut off")
    if missing != [*_TREE_TABLES]:
        raise CorruptLogError(f"{path} has lost its table {', '.join(missing)}")
    if connection.execute("SELECT 1 FROM log").fetchone() is not None:
        raise CorruptLogError(
            f"{path} has rows and no audit tree: the tree was removed, or a version without one wrote them and nothing "
            "can be verified"
        )
    raise NotFoundError(f"{path} has no audit tree yet: an older version made it; start the projector once")


class StoredNodes:
    """Hashes of complete subtrees out of log.db, for proofs: call it with level and index.

    What it says is not trusted: every proof is verified against a signed root before it is given out.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tree = read_tree(connection)[1]
        self._block = -1
        self._hashes = b""

    def __call__(self, level: int, index: int) -> bytes:
        if level >= BLOCK_LEVEL:
            query = "SELECT hash FROM tree_nodes WHERE level = ? AND idx = ?"
            return self._found(self._connection.execute(query, (level, index)).fetchone(), level, index)
        shift = BLOCK_LEVEL - level
        self._load(index >> shift)
        width = HASH_BYTES << level
        at = (index - (index >> shift << shift)) * width
        hashes = self._hashes[at : at + width]
        if len(hashes) != width:
            raise _missing(level, index)
        return root_of(hashes)

    def _load(self, block: int) -> None:
        if block == self._block:
            return
        if block == self._tree.size >> BLOCK_LEVEL:
            self._hashes = self._tree.tail
        else:
            row = self._connection.execute("SELECT hashes FROM tree_leaves WHERE block = ?", (block,)).fetchone()
            self._hashes = self._found(row, BLOCK_LEVEL, block)
        self._block = block

    def _found(self, row: Any, level: int, index: int) -> bytes:
        if row is None:
            raise _missing(level, index)
        return bytes(row[0])


def _missing(level: int, index: int) -> CorruptLogError:
    return CorruptLogError(f"the tree of log.db has no node {index} of level {level}: run `runlore audit verify`")
