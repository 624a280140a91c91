"""Make log rows and views without a server, for the benchmarks of reading and rebuilding."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.common import five_values
from runlore.projector.archive import Archive, Received
from runlore.schemas import Actor, EntityRef, Event, MetadataLogged
from runlore.schemas.codec import encode_event
from runlore.schemas.ids import new_id
from runlore.schemas.values import pack_metadata

EPOCH = "benchmark"


def messages(count: int, entities: int, start: int = 1, values: Any = five_values) -> Iterator[Received]:
    """Messages as the stream would deliver them."""
    actor, producer_id = Actor("bench", "host", 1, "runlore bench"), new_id()
    for position in range(start, start + count):
        event = Event(
            id=new_id(),
            schema=1,
            project="default",
            occurred_at=dt.datetime.now(dt.UTC),
            actor=actor,
            producer_id=producer_id,
            producer_seq=position - start + 1,
            fact=MetadataLogged(
                (EntityRef("artifact", f"data-{position % entities}", "1"),), pack_metadata(values(position))
            ),
        )
        subject = f"runlore.default.artifact.data-{position % entities}.1"
        yield Received(position, event.id, time.time_ns(), subject, b"", encode_event(event))


def write_log(path: Path, count: int, entities: int) -> None:
    """A log.db with `count` events."""
    archive = Archive.open(path, EPOCH)
    batch: list[Received] = []
    for message in messages(count, entities):
        batch.append(message)
        if len(batch) == 4000:
            archive.append(batch)
            batch = []
    archive.append(batch)
    archive.close()
