"""Replay the log into a scratch view and compare it with the live one, table by table."""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any, NamedTuple

from runlore.projector.archiving.archive import ArchiveReader
from runlore.projector.audit.findings import Problem
from runlore.projector.audit.keys import Verifier
from runlore.projector.progress import Progress
from runlore.projector.views.digest import ViewSnapshot
from runlore.projector.views.rebuild import fold_log
from runlore.projector.views.search_index import sync_search
from runlore.projector.views.view import View
from runlore.schemas.errors import CorruptLogError
from runlore.store.folder import DataDir
from runlore.store.sqlite import open_raw_reader, open_reader, sqlite
from runlore.store.view_tables import TABLES


class _Table(NamedTuple):
    table: str
    names: list[str]
    key: list[str]
    query: str


_SEARCH = _Table(
    "search",
    ["entity_id", "path_id", "key", "text", "grams"],
    ["entity_id", "path_id"],
    "SELECT entity_id, path_id, key, text, grams FROM search_docs JOIN search ON search.rowid = doc_id ORDER BY 1, 2",
)


_HOLDS_ERASED = Problem(
    place="view",
    what="values were erased from the log after it was made: a projector that runs makes it again, else rebuild it",
)


def compare_view(
    data: DataDir,
    progress: Progress | None = None,
    tables: Progress | None = None,
    trusted: Sequence[Verifier] = (),
) -> tuple[dict[str, str], list[Problem]]:
    """The canonical digest of each table as the log replays it, and the first wrong row of the live view, if any.

    Compares a copy of the live view, so that it may go on meanwhile; both lie in a temporary folder. `progress` is
    called during the replay, `tables` during the comparison. `trusted`: the log's keys, which are believed about actors
    in place of the folder's own. Raises NotFoundError when none was made yet.
    """
    try:
        live = data.current_view()
    except CorruptLogError as error:
        return {}, [Problem(place="view", what=f"{error}: rebuild it")]
    # Once more: a rebuild may have switched to another and removed this one.
    if not live.exists() and not (live := data.current_view()).exists():
        return {}, [Problem(place="view", what=f"CURRENT names {live.name}, which is missing: rebuild it")]
    with tempfile.TemporaryDirectory(prefix="runlore-audit-") as name:
        copy, scratch = Path(name, "live.db"), Path(name, "replayed.db")
        try:
            position = _copied(live, copy)
            if changed := _schema_difference(copy, Path(name, "fresh.db")):
                return {}, [changed]
            with contextlib.closing(ArchiveReader(data.log, trusted)) as log:
                if position > log.position:
                    return {}, [_ahead(position, log.position)]
                if _erased_at(copy) != log.erased_at:
                    return {}, [_HOLDS_ERASED]
                _replay(log, scratch, position, progress)
            wanted, found = _digests(scratch, copy, tables)
            wrong = next((table for table in TABLES if wanted[table] != found[table]), None)
            if wrong is not None:
                problem = _first_difference(scratch, copy, _rows_of(scratch, wrong))
            else:
                problem = _search_difference(scratch, copy)
        except sqlite.DatabaseError as error:
            return {}, [Problem(place="view", what=f"{live.name} is damaged ({error}): `runlore rebuild` recreates it")]
        return wanted, [problem] if problem else []


def _erased_at(view: Path) -> int:
    with contextlib.closing(open_reader(view)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _ahead(view: int, log: int) -> Problem:
    what = f"the view is at event {view}, the log ends at event {log}: rebuild it"
    return Problem(place="view", what=what, position=log + 1)


def _copied(live: Path, copy: Path) -> int:
    """Copy a view that may be written meanwhile, as of one moment; its position."""
    with (
        contextlib.closing(open_reader(live)) as source,
        contextlib.closing(sqlite.connect(str(copy))) as target,
    ):
        source.backup(target)
        return int(target.execute("SELECT position FROM view_state").fetchone()[0])


def _digests(wanted: Path, found: Path, progress: Progress | None) -> tuple[dict[str, str], dict[str, str]]:
    with contextlib.closing(ViewSnapshot(wanted)) as ours, contextlib.closing(ViewSnapshot(found)) as theirs:
        total = ours.rows() + theirs.rows()
        done = 0

        def read(rows: int) -> None:
            nonlocal done
            done += rows
            if progress is not None:
                progress(done, total)

        return ours.digest(read), theirs.digest(read)


def _replay(log: ArchiveReader, path: Path, until: int, progress: Progress | None) -> None:
    view = View.create(path, log.epoch, bulk=True)
    try:
        fold_log(log, view, progress, until)  # no `end_bulk`: what indexes hold is not compared
        view.sync_search(None)
    finally:
        view.close()


def _schema_difference(live: Path, fresh: Path) -> Problem | None:
    """The first table, index, view or trigger that a view made now would not have just so."""
    View.create(fresh, "").close()
    wanted, found = _schema(fresh), _schema(live)
    for kind, name in sorted(wanted.keys() | found.keys()):
        ours, theirs = wanted.get((kind, name)), found.get((kind, name))
        if ours != theirs:
            how = "is missing" if theirs is None else "is not Runlore's" if ours is None else f"was changed: {theirs}"
            return Problem(place="view", what=f"the {kind} {name} {how}; rebuild it")
    return None


def _schema(path: Path) -> dict[tuple[str, str], str]:
    sql = r"SELECT type, name, coalesce(sql, '') FROM sqlite_master WHERE name NOT LIKE 'sqlite\_%' ESCAPE '\'"
    with contextlib.closing(open_reader(path)) as connection:
        return {(kind, name): text for kind, name, text in connection.execute(sql)}


def _search_difference(wanted: Path, found: Path) -> Problem | None:
    """The first wrong document of the full-text index: its texts, then whether the index is that of its texts.

    Both are complete first, the copy of the live one as its own writer would do it.
    """
    with contextlib.closing(sqlite.connect(str(found), isolation_level=None)) as connection:
        if connection.execute("SELECT count(*) FROM search_state").fetchone()[0] != 1:
            return Problem(place="view", what="the full-text index has lost its position: rebuild it", table="search")
        connection.execute("BEGIN")
        sync_search(connection)
        connection.execute("COMMIT")
        problem = _first_difference(wanted, found, _SEARCH)
        if problem is None:
            connection.execute("INSERT INTO search (search) VALUES ('integrity-check')")
    return problem


def _rows_of(path: Path, table: str) -> _Table:
    """All rows of a table in primary key order."""
    with contextlib.closing(open_reader(path)) as connection:
        columns = connection.execute(f"SELECT name, pk FROM pragma_table_info('{table}')").fetchall()
    key = [name for name, order in sorted(columns, key=lambda column: column[1]) if order]
    return _Table(table, [name for name, _ in columns], key, f"SELECT * FROM {table} ORDER BY {', '.join(key)}")


def _first_difference(wanted: Path, found: Path, rows: _Table) -> Problem | None:
    """Walk both in the order of the key to the first row that is not the same."""
    with contextlib.closing(open_raw_reader(wanted)) as ours, contextlib.closing(open_raw_reader(found)) as theirs:
        for ours_row, theirs_row in zip_longest(ours.execute(rows.query), theirs.execute(rows.query)):
            if ours_row != theirs_row or _types(ours_row) != _types(theirs_row):
                return _difference(rows.table, rows.names, rows.key, ours_row, theirs_row)
    return None


def _difference(
    table: str, names: list[str], key: list[str], wanted: tuple[Any, ...] | None, found: tuple[Any, ...] | None
) -> Problem:
    keyed = [names.index(name) for name in key]
    if wanted is None or (found is not None and _key_before(found, wanted, keyed)):
        shown, what = found, "the row is not in the log's replay"
    elif found is None or _key_before(wanted, found, keyed):
        shown, what = wanted, "the row is missing"
    else:
        shown, pairs = wanted, zip(names, wanted, found, strict=True)
        different = [(name, was, now) for name, was, now in pairs if (type(was), was) != (type(now), now)]
        changed = [f"{name} is {_shown(now)}, the log says {_shown(was)}" for name, was, now in different]
        what = "; ".join(changed)
    assert shown is not None
    row = ", ".join(f"{name}={_shown(shown[at])}" for name, at in zip(key, keyed, strict=True))
    position = shown[names.index("position")] if "position" in names else None
    return Problem(place="view", what=what, table=table, row=row, position=position)


def _key_before(one: tuple[Any, ...], other: tuple[Any, ...], keyed: list[int]) -> bool:
    # Keys of one column share a type: tables are STRICT.
    return tuple(one[at] for at in keyed) < tuple(other[at] for at in keyed)


def _types(row: tuple[Any, ...] | None) -> list[type]:
    return [type(value) for value in row or ()]  # 1 and 1.0 are equal, and not the same


def _shown(value: Any) -> str:
    text = value.decode(errors="backslashreplace") if isinstance(value, bytes) else repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
