"""Messages: an outbox row as NATS sees it, with the headers that repeat a part of the event."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from functools import lru_cache

import msgspec

from runlore.producer.outboxes.rows import Row
from runlore.schemas.codec import decode_head, decode_id
from runlore.schemas.errors import EventDecodeError
from runlore.schemas.subjects import cloudevents_headers, event_headers

HEADER_ROOM = 2048
"""More bytes than the headers of any event have."""

_OWN_HEADERS = frozenset({"ce-id", "ce-time"})
_ANY_TIME = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_HEADER_LINE = 4  # ": " and the line's end
_encode_json = msgspec.json.Encoder().encode


def row_headers(row: Row, cloudevents: bool) -> dict[str, str]:
    """The headers of one event. Raises EventDecodeError."""
    if not cloudevents:
        return event_headers(decode_id(row.payload))
    head = decode_head(row.payload)
    return event_headers(head.id) | cloudevents_headers(head.id, head.fact.type, head.project, head.occurred_at)


def broken(row: Row) -> str | None:
    """Why a row cannot be sent at all; a damaged file may hold anything."""
    try:
        decode_head(row.payload)
    except EventDecodeError as error:
        return str(error)
    return None


def commands(rows: Iterable[Row], batch: str, number: int, cloudevents: bool) -> bytes:
    """The protocol's HPUBs of messages `number`, … of an atomic batch, without a reply. Raises EventDecodeError."""
    parts: list[bytes] = []
    of_batch = f"\r\nNats-Batch-Id: {batch}\r\nNats-Batch-Sequence: "
    for index, row in enumerate(rows, number):
        payload = row.payload
        event_id = decode_id(payload)
        more = _cloudevents_lines(payload) if cloudevents else ""
        block = f"NATS/1.0\r\nNats-Msg-Id: {event_id}{more}{of_batch}{index}\r\n\r\n".encode()
        size = len(block)
        parts += (f"HPUB {row.subject} {size} {size + len(payload)}\r\n".encode(), block, payload, b"\r\n")
    return b"".join(parts)


def _cloudevents_lines(payload: bytes) -> str:
    """The CloudEvents headers of one event, each behind the end of the line before it."""
    head = decode_head(payload)
    # The quotes apart, this is isoformat() with its Z, in a tenth of the 1.8 µs.
    time_text = _encode_json(head.occurred_at)[1:-1].decode()
    return f"\r\nce-id: {head.id}\r\nce-time: {time_text}{_fixed_lines(head.fact.type, head.project)}"


@lru_cache(maxsize=256)
def _fixed_lines(kind: str, project: str) -> str:
    """The CloudEvents headers that events of one type and project share."""
    headers = cloudevents_headers("", kind, project, _ANY_TIME)
    return "".join(f"\r\n{name}: {value}" for name, value in headers.items() if name not in _OWN_HEADERS)


def batch_headers(batch: str, number: int, last: bool) -> dict[str, str]:
    """What makes a message number `number` of an atomic batch; the last one commits it."""
    headers = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
    if last:
        headers["Nats-Batch-Commit"] = "1"
    return headers


def header_bytes(headers: dict[str, str]) -> int:
    """Bytes of a header block on the wire."""
    return len("NATS/1.0\r\n\r\n") + sum(len(name) + len(value) + _HEADER_LINE for name, value in headers.items())
