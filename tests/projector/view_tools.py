"""Reading a view that was folded without a service."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from runlore.store.cells import from_cell
from runlore.store.sqlite import sqlite
from tests.events import LogBuilder

Rows = list[tuple[Any, ...]]


def query(path: Path, sql: str, *values: Any) -> Rows:
    with sqlite.connect(path) as connection:
        return connection.execute(sql, values).fetchall()


def current(path: Path, reference: str, scope: str = "metadata") -> dict[str, Any]:
    rows = query(
        path,
        "SELECT path, type, value FROM heads JOIN paths USING (path_id) JOIN entities USING (entity_id)"
        " WHERE reference = ? AND scope = ? AND type NOT IN ('removed', 'retracted') ORDER BY path_id",
        reference,
        scope,
    )
    return {row[0]: from_cell(row[1], row[2]) for row in rows}


def folded(log: LogBuilder, tmp_path: Path, batch: int = 1000) -> Path:
    path = tmp_path / f"view-{batch}.db"
    log.fold_into(path, batch).close()
    return path


def quarantine(path: Path) -> Rows:
    return query(path, "SELECT position, stage, error FROM quarantine ORDER BY position")
