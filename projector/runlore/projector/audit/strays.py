"""Rows of log.db that belong to no position or leaf of the log: a pass over the log never reaches them."""

from __future__ import annotations

from runlore.projector.audit.findings import AuditPart, Problem
from runlore.schemas.errors import CorruptLogError
from runlore.store.audit.checkpoint import read_signature
from runlore.store.audit.tree import BLOCK_LEVEL
from runlore.store.sqlite import sqlite


class StrayError(Exception):
    """A row that no log has."""

    def __init__(self, place: AuditPart, what: str, position: int | None = None) -> None:
        self.problem = Problem(place=place, what=what, position=position)
        super().__init__(what)


_STRAYS: tuple[tuple[AuditPart, str, str], ...] = (
    ("log", "log", "SELECT position FROM log WHERE position < 1 OR position > :position"),
    ("log", "gaps", "SELECT first FROM gaps WHERE first < 1 OR last < first OR last > :position ORDER BY first"),
    ("log", "log_state", "SELECT id FROM log_state WHERE id <> 1 OR position < 0"),
    ("tree", "tree_leaves", "SELECT block FROM tree_leaves WHERE block < 0 OR block >= :blocks"),
    ("tree", "tree_state", "SELECT id FROM tree_state WHERE id <> 1"),
    ("checkpoint", "checkpoints", "SELECT size FROM checkpoints WHERE size < 1"),
)
"""Place, table, and the query for a row of it that does not belong to the log."""

_MADE = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?"
_COSIGNATURES = """SELECT size, witness, line, EXISTS (SELECT 1 FROM checkpoints c WHERE c.size = s.size)
    FROM cosignatures s"""
_STAMPS = "SELECT size FROM timestamps WHERE size NOT IN (SELECT size FROM checkpoints) LIMIT 1"
_NODES = "SELECT level, idx FROM tree_nodes WHERE idx < 0 OR level < :level OR idx >= (:size >> level) LIMIT 1"


def require_no_strays(connection: sqlite.Connection, position: int, size: int) -> None:
    """Raise StrayError for a row beside the log's positions 1 to `position` or beside its `size` leaves.

    The caller holds a transaction, of which both numbers are. Walks keys only: no payload is read.
    """
    values = {"position": position, "blocks": size >> BLOCK_LEVEL, "size": size, "level": BLOCK_LEVEL}
    for place, table, query in _STRAYS:
        row = connection.execute(f"{query} LIMIT 1", values).fetchone()
        if row is not None:
            what = f"table {table} has a row {row[0]} that is not part of the log, which has positions 1 to {position}"
            raise StrayError(place, what, row[0] if place == "log" else None)
    _require_cosignatures(connection)
    _require_stamped_checkpoints(connection)
    node = connection.execute(_NODES, values).fetchone()
    if node is not None:
        raise StrayError(
            "tree", f"table tree_nodes has a node {node[1]} of level {node[0]} that is not part of the tree"
        )


def _require_cosignatures(connection: sqlite.Connection) -> None:
    """Each is a signature line of the witness that its key names, on a checkpoint that is there."""
    if connection.execute(_MADE, ("cosignatures",)).fetchone() is None:
        return  # an older version made no such table
    for size, witness, line, signed in connection.execute(_COSIGNATURES):
        try:
            name, key_id, _ = read_signature(_text(line).removesuffix("\n"))
        except CorruptLogError:
            name, key_id = "", b""
        if not signed or f"{name}+{key_id.hex()}" != _text(witness) or not _text(line).endswith("\n"):
            what = f"table cosignatures has a row for {size} leaves that is no signature of {_text(witness)!r} there"
            raise StrayError("checkpoint", what)


def _require_stamped_checkpoints(connection: sqlite.Connection) -> None:
    if connection.execute(_MADE, ("timestamps",)).fetchone() is None:
        return
    if (row := connection.execute(_STAMPS).fetchone()) is not None:
        raise StrayError("checkpoint", f"table timestamps has a row for {row[0]} leaves, and no checkpoint is of them")


def _text(stored: str | bytes) -> str:
    return stored.decode(errors="replace") if isinstance(stored, bytes) else stored
