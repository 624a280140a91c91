"""Growing the stored tree: with every batch the archive stores, and over a log that has none yet."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from runlore.projector.audit.leaves import LeafError, leaves
from runlore.projector.logs import get_log
from runlore.schemas.errors import CorruptLogError
from runlore.store.audit.erasure import Redaction
from runlore.store.audit.leaf import LeafCoder
from runlore.store.audit.tree import Growth, Tree, read_tree
from runlore.store.database import Database
from runlore.store.log_rows import Received
from runlore.store.sqlite import open_raw_reader, sqlite

CATCH_UP_POSITIONS = 20_000
"""Positions added to the tree of an older log in one transaction; a stop in between loses nothing."""


def message_leaves(
    coder: LeafCoder, messages: Sequence[Received], erased: Mapping[int, Redaction] | None = None
) -> list[bytes]:
    """The leaf hashes of messages. `erased`: those of which the stream has only the redacted payload."""
    event = coder.event
    if erased:
        return [_leaf(coder, message, erased.get(message.position)) for message in messages]
    return [
        event(position, event_id.encode() if event_id is not None else None, ns, subject.encode(), headers, payload)
        for position, event_id, ns, subject, headers, payload in messages
    ]


def _leaf(coder: LeafCoder, message: Received, redaction: Redaction | None) -> bytes:
    position, event_id, ns, subject, headers, payload = message
    id_bytes = event_id.encode() if event_id is not None else None
    hashed = redaction.payload_hash if redaction else None
    return coder.event(position, id_bytes, ns, subject.encode(), headers, payload, hashed)


def store_growth(connection: sqlite.Connection, growth: Growth, old: int, new: int) -> None:
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


def append_leaves(connection: sqlite.Connection, tree: Tree, hashes: Sequence[bytes], old: int, new: int) -> Tree:
    """The grown tree, written into the open transaction, which moves the log from position `old` to `new`.

    Raises CorruptLogError when someone else moved it.
    """
    growth = tree.grown(hashes)
    store_growth(connection, growth, old, new)
    return growth.tree


def caught_up(path: Path, db: Database, coder: LeafCoder, position: int) -> Tree:
    """The stored tree, first grown over rows that an older version stored without it.

    Raises CorruptLogError when the rows are no log.
    """
    covered, tree = read_tree(db.conn)
    if covered > position:
        raise CorruptLogError(f"the tree of {path} covers position {covered}, its log ends at {position}")
    if covered == position:
        return tree
    get_log().info("building the audit tree of an older log", position=covered, last=position)
    with contextlib.closing(open_raw_reader(path)) as reader:
        while covered < position:
            until = _border(reader, min(covered + CATCH_UP_POSITIONS, position))
            try:
                hashes = [leaf.hash for leaf in leaves(reader, coder, covered, until)]
            except LeafError as error:
                raise CorruptLogError(f"{path} is not a log: {error}") from error
            with db.atomic():
                tree = append_leaves(db.conn, tree, hashes, covered, until)
            covered = until
            get_log().info("building the audit tree", position=covered, last=position)
    return tree


def _border(reader: sqlite.Connection, position: int) -> int:
    """The position, or the end of the gap that it lies in: a gap is one leaf."""
    row = reader.execute("SELECT last FROM gaps WHERE first <= ? AND last > ?", (position, position)).fetchone()
    return int(row[0]) if row else position
