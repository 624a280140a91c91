"""Make log rows and views without a server, for the benchmarks of reading and rebuilding."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from benchmarks.common import five_values
from runlore.projector.archiving.archive import Archive
from runlore.projector.views.generations import make_current, next_path
from runlore.projector.views.view import View
from runlore.schemas import Actor, EntityRef, Event, Fact, MetadataLogged
from runlore.schemas.codec import encode_event
from runlore.schemas.ids import new_id
from runlore.schemas.values import pack_metadata
from runlore.store.folder import DataDir
from runlore.store.log_rows import Received

EPOCH = "benchmark"

Emission = tuple[Fact] | tuple[Fact, str] | tuple[Fact, str, str]
"""A fact, and the run and the step that emitted it."""


def messages(count: int, entities: int, start: int = 1, values: Any = five_values) -> Iterator[Received]:
    """Messages as the stream would deliver them."""
    facts = (
        (MetadataLogged((EntityRef("artifact", f"data-{position % entities}", "1"),), pack_metadata(values(position))),)
        for position in range(start, start + count)
    )
    yield from messages_of(facts, start)


def messages_of(facts: Iterable[Emission], start: int = 1) -> Iterator[Received]:
    """Messages for facts, each with the run and the step that emitted it, if any."""
    actor, producer_id = Actor("bench", "host", 1, "runlore bench"), new_id()
    for place, (fact, *where) in enumerate(facts):
        event = Event(
            id=new_id(),
            schema=1,
            project="default",
            occurred_at=dt.datetime.now(dt.UTC),
            actor=actor,
            producer_id=producer_id,
            producer_seq=place + 1,
            fact=fact,  # type: ignore[arg-type]  # a fact of another class would be no benchmark
            run=where[0] if where else None,
            step=where[1] if len(where) > 1 else None,
        )
        yield Received(
            start + place,
            event.id,
            time.time_ns(),
            f"runlore.default.artifact.data-{place % 1000}.1",
            _headers(event.id, start + place),
            encode_event(event),
        )


def new_view(data: DataDir) -> View:
    """An empty view, live, as the projector makes the first one of a folder."""
    view = View.create(next_path(data), EPOCH)
    make_current(data, view.path)
    return view


def _headers(event_id: str, position: int) -> bytes:
    """What the stream stores before an event of an atomic batch."""
    batch = event_id[:36]
    lines = f"Nats-Msg-Id: {event_id}\r\nNats-Batch-Id: {batch}\r\nNats-Batch-Sequence: {position % 1000 + 1}\r\n"
    return f"NATS/1.0\r\n{lines}\r\n".encode()


def write_log(path: Path, count: int, entities: int) -> None:
    """A log.db with `count` events."""
    write_messages(path, messages(count, entities))


def write_messages(path: Path, wanted: Iterable[Received]) -> None:
    """A log.db with these messages."""
    archive = Archive.open(path, EPOCH)
    batch: list[Received] = []
    for message in wanted:
        batch.append(message)
        if len(batch) == 4000:
            archive.append(batch)
            batch = []
    archive.append(batch)
    archive.close()
