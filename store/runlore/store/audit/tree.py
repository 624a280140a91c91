"""The tree as log.db keeps it: a compact range that grows, complete blocks of leaves, and the nodes above them.

A block is 256 leaf hashes, one row of `tree_leaves`; `tree_nodes` holds the complete subtrees of level 8 (a block) and
higher. So an event costs 36 bytes on disk, and a proof reads a few rows instead of hashing the log.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from runlore.schemas.errors import CorruptLogError
from runlore.store.audit.merkle import HASH_BYTES, hash_children, root_of
from runlore.store.sqlite import sqlite

BLOCK_LEVEL = 8
BLOCK = 1 << BLOCK_LEVEL
"""Leaves in one row of `tree_leaves`."""

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
            raise CorruptLogError(f"the tree's range has {len(packed)} bytes, which is not a tree of {size} leaves")
        return cls(
            size, tuple(packed[at : at + HASH_BYTES] for at in range(0, peaks, HASH_BYTES)), bytes(packed[peaks:])
        )


class Growth(NamedTuple):
    """A grown tree, and the rows for the nodes it completed."""

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


def read_tree(connection: sqlite.Connection) -> tuple[int, Tree]:
    """The position that the stored tree covers, and the tree. Raises CorruptLogError."""
    row = connection.execute("SELECT position, size, range FROM tree_state").fetchone()
    if row is None:
        raise CorruptLogError("log.db has lost the state of its tree")
    return int(row[0]), Tree.unpacked(int(row[1]), row[2])


def leaf_index(connection: sqlite.Connection, position: int) -> int:
    """The index of the leaf for a position: one less than the position, but a gap is a single leaf."""
    query = "SELECT coalesce(sum(last - first), 0) FROM gaps WHERE last < ?"
    inside = "SELECT coalesce(max(? - first), 0) FROM gaps WHERE first <= ? AND last >= ?"
    swallowed = int(connection.execute(query, (position,)).fetchone()[0])
    return position - 1 - swallowed - int(connection.execute(inside, (position,) * 3).fetchone()[0])


class StoredNodes:
    """Hashes of complete subtrees out of log.db, for proofs: call it with level and index.

    The hashes are not trusted: every proof is verified against a signed root before it is returned.
    """

    def __init__(self, connection: sqlite.Connection) -> None:
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
