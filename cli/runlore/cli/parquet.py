"""History as a Parquet file: typed columns for DuckDB, pandas, polars and data lakes. Needs pyarrow."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from typing import Any, BinaryIO

import msgspec

from runlore.query.frames import installed
from runlore.query.numbers import is_number
from runlore.query.plain import plain
from runlore.query.watch.changes import Change
from runlore.store.cells import nearest_float

GROUP = 10_000
"""Rows that are in memory at once, and of a row group of the file."""
_TEXTS = ("project", "reference", "scope", "key", "path", "type")
_FROM = ("event_id", "user", "host", "library", "run", "step")


def write_parquet(file: BinaryIO, changes: Iterable[Change]) -> int:
    """Write entries, one a row; return how many. Raises RunloreError when pyarrow is not installed.

    `value` is JSON, as exact as that allows; `number` its number, where it is one.
    """
    arrow, parquet = installed("pyarrow", "--format parquet"), installed("pyarrow.parquet", "--format parquet")
    schema, count = _schema(arrow), 0
    with parquet.ParquetWriter(file, schema, compression="zstd") as writer:
        for group in _groups(changes):
            writer.write_table(arrow.Table.from_pylist([*map(_row, group)], schema=schema))
            count += len(group)
    return count


def _groups(changes: Iterable[Change]) -> Iterator[list[Change]]:
    rest = iter(changes)
    while group := list(itertools.islice(rest, GROUP)):
        yield group


def _schema(arrow: Any) -> Any:
    text, whole, moment = arrow.string(), arrow.int64(), arrow.timestamp("us", "UTC")
    return arrow.schema(
        [
            *((name, text) for name in _TEXTS),
            ("value", text),
            ("number", arrow.float64()),
            ("previous_type", text),
            ("previous", text),
            ("reason", text),
            ("position", whole),
            ("created", moment),
            ("occurred_at", moment),
            *((name, text) for name in _FROM),
            ("pid", whole),
            ("at_step", whole),
        ]
    )


def _row(change: Change) -> dict[str, Any]:
    entry, actor = change.entry, change.entry.actor
    number = nearest_float(entry.value) if is_number(entry.value) else None
    return {
        "project": change.project, "reference": change.reference, "scope": change.scope, "key": entry.key,
        "path": entry.path, "type": entry.type, "value": None if entry.ended else _json(entry.value), "number": number,
        "previous_type": entry.previous_type, "previous": _json(entry.previous) if entry.replaced else None,
        "reason": entry.reason, "position": entry.position, "created": entry.created, "occurred_at": entry.occurred_at,
        "event_id": entry.event_id, "user": actor.user, "host": actor.host, "library": actor.library,
        "run": entry.run, "step": entry.step, "pid": actor.pid, "at_step": entry.at_step,
    }  # fmt: skip


def _json(value: Any) -> str:
    return msgspec.json.encode(plain(value)).decode()
