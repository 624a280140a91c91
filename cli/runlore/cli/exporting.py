"""History as a file: lines of JSON as docs/json.md has it, or of CSV, or Parquet."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Generator, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

import msgspec

from runlore.cli.bundling import resolved
from runlore.cli.parquet import write_parquet
from runlore.query import Client
from runlore.query.records import Record, change_record
from runlore.query.spreadsheet import cell
from runlore.query.watch.changes import Change
from runlore.query.watch.selection import is_filter
from runlore.schemas.errors import NotFoundError
from runlore.schemas.references import parse_ref
from runlore.schemas.visible import visible_json
from runlore.store.cells import ENDED
from runlore.store.ownership import open_private

Shape = Literal["jsonl", "csv", "parquet"]

_COLUMNS = (
    *("project", "reference", "scope", "key", "path", "type", "value", "reason", "previous_type", "previous"),
    *("position", "created", "occurred_at", "event_id", "user", "host", "pid", "library", "run", "step", "at_step"),
)
_VALUES = {"value": "type", "previous": "previous_type"}
_PAGE = 200


class Wanted(NamedTuple):
    """What is exported: of a reference, of entities that match a filter now, or (None) everything in the project."""

    what: str | None
    kind: str | None = None
    after: int = 0
    """Only what events after this one logged."""
    upto: int | None = None
    """And none after this one: so that the next export goes on where this one ends."""


def entries_of(client: Client, wanted: Wanted) -> Iterator[Change]:
    """Every entry that entities ever had, oldest first for each.

    Raises NotFoundError where there is none, unless only what is new is wanted.
    """
    found = wanted.after > 0
    for reference in _references(client, wanted):
        for change in client.watch(reference, kind=wanted.kind, since=wanted.after, timeout=0):
            if wanted.upto is not None and change.position > wanted.upto:
                break
            found = True
            yield change
    if not found:
        raise NotFoundError(f"nothing was ever logged{'' if wanted.what is None else f' about {wanted.what}'}")


def _references(client: Client, wanted: Wanted) -> Iterator[str | None]:
    what, kind = wanted.what, wanted.kind
    if what is None:
        yield None
        return
    if not is_filter(what):
        yield str(resolved(client, parse_ref(what)))
        return
    cursor: str | None = None
    while True:
        page = client.find(kind, what, limit=_PAGE, after=cursor)
        yield from (entity.reference for entity in page)
        if (cursor := page.cursor) is None:
            return


def lines_of(changes: Iterable[Change], shape: Shape) -> Iterator[bytes]:
    """The lines of a file, ends included."""
    if shape == "csv":
        yield _csv_line(_COLUMNS)
    for change in changes:
        if shape == "csv":
            yield _csv_line(_cells(change))
        else:
            yield visible_json(msgspec.json.encode(change_record(change))) + b"\n"


def write_export(client: Client, wanted: Wanted, path: Path, shape: Shape = "jsonl") -> int:
    """Write the entries to a file for this user alone; return how many. It is on disk when this returns, or not there.

    Raises NotFoundError where there is none, OSError.
    """
    count = 0
    with whole_file(path) as file:
        if shape == "parquet":
            return write_parquet(file, entries_of(client, wanted))
        for count, line in enumerate(lines_of(entries_of(client, wanted), shape), 1):  # noqa: B007 -- used below
            file.write(line)
    return count - (shape == "csv")


@contextlib.contextmanager
def whole_file(path: Path) -> Generator[io.BufferedWriter]:
    """A file that takes its place when everything is written and on disk."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with contextlib.ExitStack() as unfinished:
        descriptor = open_private(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        unfinished.callback(beside.unlink)
        with os.fdopen(descriptor, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        unfinished.pop_all()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def _cells(change: Change) -> list[str]:
    record: Record = change_record(change)
    flat: dict[str, Any] = {**record, **record["actor"], "value": change.entry.value, "previous": change.entry.previous}
    ended = {name for name, kind in _VALUES.items() if flat[kind] in (None, *ENDED)}
    empty = {name for name in _COLUMNS if flat[name] is None and name not in _VALUES}
    return ["" if name in ended | empty else cell(flat[name]) for name in _COLUMNS]


def _csv_line(cells: Iterable[str]) -> bytes:
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerow(cells)
    return out.getvalue().encode("utf-8", "replace")
