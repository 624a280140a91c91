"""Build real, encoded log rows without a server: what the archive would hold."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from runlore.projector.views.view import View
from runlore.schemas import Actor, EntityRef, Event, Fact, MetadataLogged, parse_ref
from runlore.schemas.codec import encode_event
from runlore.schemas.ids import new_id
from runlore.schemas.subjects import subject_token
from runlore.schemas.values import pack_metadata
from runlore.store.log_rows import LogRow

START = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
EPOCH = "test-epoch"


class LogBuilder:
    """Collects facts as consecutive log rows, one second apart."""

    def __init__(self, project: str = "default", first: int = 1) -> None:
        self.project, self.first = project, first
        self.rows: list[LogRow] = []
        self._producer = new_id()

    @property
    def next(self) -> int:
        """The position of the next row."""
        return self.first + len(self.rows)

    def take(self, other: LogBuilder) -> None:
        """Become a log that was built elsewhere."""
        self.first, self.rows = other.first, other.rows

    def add(self, fact: Fact, run: str | None = None, step: str | None = None, **changes: Any) -> LogRow:
        position = self.next
        when = START + dt.timedelta(seconds=position)
        fields: dict[str, Any] = {
            "id": new_id(),
            "schema": 1,
            "project": self.project,
            "occurred_at": when,
            "actor": Actor("ada", "host-1", 7, "runlore test"),
            "producer_id": self._producer,
            "producer_seq": position,
            "run": run,
            "step": step,
            "fact": fact,
        }
        event = Event(**(fields | changes))
        return self.add_raw(encode_event(event), event.id)

    def add_raw(self, payload: bytes, event_id: str | None, duplicate_of: int | None = None) -> LogRow:
        position = self.next
        recorded = int((START.timestamp() + position) * 1e9)
        subject = f"runlore.{subject_token(self.project)}.test"
        row = LogRow(position, event_id, recorded, subject, payload, duplicate_of)
        self.rows.append(row)
        return row

    def log(
        self,
        ref: str | EntityRef | Iterable[str],
        metadata: Mapping[str, Any],
        merge: bool = False,
        **where: Any,
    ) -> LogRow:
        refs = [ref] if isinstance(ref, (str, EntityRef)) else list(ref)
        targets = tuple(item if isinstance(item, EntityRef) else parse_ref(item) for item in refs)
        return self.add(MetadataLogged(targets, pack_metadata(metadata), merge), **where)

    def fold_into(self, path: Path, batch: int = 1000, after: int = 0) -> View:
        """Fold everything after a position into the view at `path`, made if absent; the open view."""
        view = View.open(path) if path.exists() else View.create(path, EPOCH)
        for start in range(after, len(self.rows), batch):
            view.fold(self.rows[start : start + batch])
        return view
