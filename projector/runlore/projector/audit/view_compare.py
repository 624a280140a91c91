"""Replay the log into a scratch view and compare it with the live one, table by table."""

from __future__ import annotations

import contextlib
import tempfile
from itertools import zip_longest
from pathlib import Path
from typing import Any

from runlore.projector.archive import ArchiveReader
from runlore.projector.audit.findings import Problem
from runlore.projector.database import open_raw_reader, open_reader, writing_sqlite
from runlore.projector.digest import view_digest
from runlore.projector.rebuild import Progress, fold_log
from runlore.projector.tables import TABLES
from runlore.projector.view import View
from runlore.schemas.errors import NotFoundError
from runlore.schemas.layout import DataDir


def compare_view(data: DataDir, progress: Progress | None = None) -> tuple[dict[str, str], list[Problem]]:
    """The canonical digest of each table as the log replays it, and the first wrong row of the live view, if any.

    Compares a copy of the live view, so that it may go on meanwhile; both lie in a temporary folder. Raises
    NotFoundError when there is no view.
    """
    live = data.current_view()
    if not live.exists():
        raise NotFoundError(f"no view at {live}: start the projector, or rebuild")
    with tempfile.TemporaryDirectory(prefix="runlore-audit-") as name:
        copy, scratch = Path(name, "live.db"), Path(name, "replayed.db")
        try:
            position = _copied(live, copy)
            with contextlib.closing(ArchiveReader(data.log)) as log:
                if position > log.position:
                    return {}, [_ahead(position, log.position)]
                _replay(log, scratch, position, progress)
            wanted, found = view_digest(scratch), view_digest(copy)
        except writing_sqlite.DatabaseError as error:
            return {}, [
                Problem(place="view", what=f"{live.name} is damaged ({error}): `runlore rebuild` makes it anew")
            ]
        wrong = next((table for table in TABLES if wanted[table] != found[table]), None)
        return wanted, [_first_difference(scratch, copy, wrong)] if wrong else []


def _ahead(view: int, log: int) -> Problem:
    what = f"the view stands at position {view}, the log ends at {log}: rebuild it"
    return Problem(place="view", what=what, position=log + 1)


def _copied(live: Path, copy: Path) -> int:
    """Copy a view that may be written meanwhile, as of one moment; its position."""
    with (
        contextlib.closing(open_reader(live)) as source,
        contextlib.closing(writing_sqlite.connect(str(copy))) as target,
    ):
        source.backup(target)
        return int(target.execute("SELECT position FROM view_state").fetchone()[0])


def _replay(log: ArchiveReader, path: Path, until: int, progress: Progress | None) -> None:
    view = View.create(path, log.epoch, bulk=True)
    try:
        fold_log(log, view, progress, until)  # no `end_bulk`: indexes are not compared
    finally:
        view.close()


def _first_difference(wanted: Path, found: Path, table: str) -> Problem:
    """Walk both tables in primary key order to the first row that is not the same."""
    with contextlib.closing(open_raw_reader(wanted)) as ours, contextlib.closing(open_raw_reader(found)) as theirs:
        columns = [
            (row[0].decode(), row[1]) for row in ours.execute(f"SELECT name, pk FROM pragma_table_info('{table}')")
        ]
        names = [name for name, _ in columns]
        key = [name for name, order in sorted(columns, key=lambda column: column[1]) if order]
        rows = f"SELECT * FROM {table} ORDER BY {', '.join(key)}"
        for ours_row, theirs_row in zip_longest(ours.execute(rows), theirs.execute(rows)):
            if ours_row != theirs_row or _types(ours_row) != _types(theirs_row):
                return _difference(table, names, key, ours_row, theirs_row)
    return Problem(place="view", what="the digests differ, the rows do not", table=table)


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
