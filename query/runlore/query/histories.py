"""The past of one key, as a list that notebooks and pandas understand."""

from __future__ import annotations

import html
import importlib
from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from runlore.query.entries import Entry
from runlore.schemas.cells import readable
from runlore.schemas.errors import RunloreError

MAX_SHOWN = 100
"""The newest entries a notebook shows."""
COLUMNS = (
    "path", "value", "previous", "type", "position", "created", "occurred_at", "user", "host", "run", "step",
    "event_id", "reason",
)  # fmt: skip


class History(list[Entry]):
    """Entries of one key, group or leaf, oldest first unless asked for otherwise."""

    def __init__(self, entries: Iterable[Entry] = (), position: int = 0) -> None:
        super().__init__(entries)
        self.position = position
        """What the history is complete to."""

    def to_dict(self) -> list[dict[str, Any]]:
        """Each entry as a dict of Python values, the actor's parts in a dict of their own."""
        return [{**msgspec.structs.asdict(entry), "actor": msgspec.structs.asdict(entry.actor)} for entry in self]

    def to_pandas(self) -> Any:
        """A DataFrame, one row an entry. Raises RunloreError when pandas is not installed."""
        return frame(map(_row, self), COLUMNS)

    def _repr_html_(self) -> str:
        head = "".join(f"<th>{column}</th>" for column in COLUMNS)
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(readable(cell))}</td>" for cell in _row(entry)) + "</tr>"
            for entry in self[-MAX_SHOWN:]
        )
        return f"<table><tr>{head}</tr>{body}</table>"


def _row(entry: Entry) -> tuple[Any, ...]:
    actor = entry.actor
    return (
        entry.path, entry.value, entry.previous, entry.type, entry.position, entry.created, entry.occurred_at,
        actor.user, actor.host, entry.run, entry.step,
        entry.event_id, entry.reason,
    )  # fmt: skip


def frame(rows: Iterable[Sequence[Any]], columns: Sequence[str], index: Sequence[str] | None = None) -> Any:
    """A DataFrame of Python values as they are. Raises RunloreError when pandas is not installed."""
    try:
        pandas = importlib.import_module("pandas")
    except ModuleNotFoundError as error:
        raise RunloreError("to_pandas() needs pandas: pip install pandas, or use to_dict()") from error
    return pandas.DataFrame(list(rows), columns=list(columns), index=index, dtype=object)
