"""Opening a log to be audited."""

from __future__ import annotations

import contextlib
from pathlib import Path

from runlore.schemas.errors import CorruptLogError, NotFoundError
from runlore.store.access import check_readable
from runlore.store.folder import DataDir
from runlore.store.log_tables import require_known_tables
from runlore.store.replica_folder import no_log
from runlore.store.sqlite import open_raw_reader, sqlite

_TREE_TABLES = ("tree_state", "tree_leaves", "tree_nodes", "checkpoints")
_TABLES = ("log", "log_state", "gaps", *_TREE_TABLES)


def open_audited(path: Path) -> sqlite.Connection:
    """A raw reader of a log that has a tree. Raises NotFoundError, NewerSchemaError, CorruptLogError (no tables)."""
    if not path.exists():
        check_readable(path.parent)
        told = f"no log at {path}: the projector makes it when it first sees the stream"
        raise no_log(DataDir(path.parent.parent)) or NotFoundError(told)
    with contextlib.ExitStack() as unfit:
        connection = open_raw_reader(path)
        unfit.callback(connection.close)
        _require_tables(connection, path)
        require_known_tables(path, connection)
        unfit.pop_all()
    return connection


def _require_tables(connection: sqlite.Connection, path: Path) -> None:
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
