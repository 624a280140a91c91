"""Messages as the relay builds them."""

from __future__ import annotations

import datetime as dt

import pytest

from runlore.producer.outboxes.rows import Row
from runlore.producer.sending.message import batch_headers, commands, row_headers
from runlore.schemas.codec import encode_event
from runlore.schemas.events import SCHEMA_VERSION, Actor, Event, NoteAdded
from runlore.schemas.references import EntityRef


@pytest.mark.parametrize("cloudevents", [False, True])
@pytest.mark.parametrize("micros", [0, 7, 120_000])
def test_messages_built_together_have_the_headers_of_one_sent_alone(micros: int, cloudevents: bool) -> None:
    event = Event(
        id="0192-é",
        schema=SCHEMA_VERSION,
        project="my project",
        occurred_at=dt.datetime(2026, 1, 2, 3, 4, 5, micros, dt.UTC),
        actor=Actor("u", "h", 1, "l"),
        producer_id="p",
        producer_seq=1,
        fact=NoteAdded((EntityRef("model", "m"),), "text"),
    )
    row = Row(1, "runlore.p.model.m", encode_event(event))
    line, _, rest = commands([row], "batch", 41, cloudevents).partition(b"\r\n")
    _, subject, header_size, size = line.decode().split(" ")
    block, payload = rest[: int(header_size)], rest[int(header_size) : int(size)]
    assert subject == row.subject
    assert payload == row.payload
    assert rest[int(size) :] == b"\r\n"
    first, *lines = block.decode().removesuffix("\r\n\r\n").split("\r\n")
    assert first == "NATS/1.0"
    headers = dict(text.split(": ", 1) for text in lines)
    assert headers == row_headers(row, cloudevents) | batch_headers("batch", 41, last=False)
