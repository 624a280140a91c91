"""Messages: an outbox row as NATS sees it, with the headers that repeat a part of the event."""

from __future__ import annotations

import datetime as dt
from functools import lru_cache

from runlore.producer.outbox import Row
from runlore.schemas.codec import decode_head
from runlore.schemas.errors import EventDecodeError
from runlore.schemas.subjects import event_headers

HEADER_ROOM = 2048
"""More bytes than the headers of any event have."""

_OWN_HEADERS = frozenset({"Nats-Msg-Id", "ce-id", "ce-time"})
_ANY_TIME = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
_HEADER_LINE = 4  # ": " and the line's end


def row_headers(row: Row) -> dict[str, str]:
    """The headers of one event. Raises EventDecodeError."""
    head = decode_head(row.payload)
    return event_headers(head.id, head.fact.type, head.project, head.occurred_at)


def broken(row: Row) -> str | None:
    """Why a row cannot be sent at all; a damaged file may hold anything."""
    try:
        decode_head(row.payload)
    except EventDecodeError as error:
        return str(error)
    return None


def command(row: Row, batch_lines: str) -> bytes:
    """The protocol's HPUB of one message without a reply subject; `batch_lines` ends in the row's number."""
    head = decode_head(row.payload)
    time_text = head.occurred_at.isoformat().replace("+00:00", "Z")
    lines = f"{_fixed_lines(head.fact.type, head.project)}{batch_lines}\r\n"
    block = f"NATS/1.0\r\nNats-Msg-Id: {head.id}\r\nce-id: {head.id}\r\nce-time: {time_text}\r\n{lines}\r\n".encode()
    sizes = f"HPUB {row.subject} {len(block)} {len(block) + len(row.payload)}\r\n".encode()
    return b"".join((sizes, block, row.payload, b"\r\n"))


@lru_cache(maxsize=256)
def _fixed_lines(kind: str, project: str) -> str:
    """The headers that events of one type and project share."""
    headers = event_headers("", kind, project, _ANY_TIME)
    return _lines({name: value for name, value in headers.items() if name not in _OWN_HEADERS})


def _lines(headers: dict[str, str]) -> str:
    return "".join(f"{name}: {value}\r\n" for name, value in headers.items())


def batch_headers(batch: str, number: int, last: bool) -> dict[str, str]:
    """What makes a message number `number` of an atomic batch; the last one commits it."""
    headers = {"Nats-Batch-Id": batch, "Nats-Batch-Sequence": str(number)}
    if last:
        headers["Nats-Batch-Commit"] = "1"
    return headers


def header_bytes(headers: dict[str, str]) -> int:
    """Bytes of a header block on the wire."""
    return len("NATS/1.0\r\n\r\n") + sum(len(name) + len(value) + _HEADER_LINE for name, value in headers.items())
