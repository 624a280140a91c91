"""Decoding has a bounded cost: what Python would be slow at is refused before it is made, by producer and fold alike."""

from __future__ import annotations

import datetime as dt
import decimal
import struct
import uuid
from typing import Any

import msgspec
import pytest
from msgspec.msgpack import Ext, encode
from test_codec import MODEL, event

from runlore.schemas import EventCostError, EventDecodeError, EventLimitError, MetadataLogged, StorageSize, extensions
from runlore.schemas.codec import decode_event, encode_event
from runlore.schemas.errors import MetadataTypeError
from runlore.schemas.limits import (
    MAX_DECIMAL_CHARACTERS,
    MAX_DEPTH,
    MAX_EQUAL_HASHES,
    MAX_EVENT_BYTES,
    MAX_NUMBER_BYTES,
    MAX_SET,
)
from runlore.schemas.validity import check_event
from runlore.schemas.values import pack_metadata

MODULUS = 2**61 - 1
"""Python's hashes of numbers are remainders of it."""


def colliding(count: int) -> list[int]:
    return [number * MODULUS for number in range(count)]


def wire(value: Any) -> bytes:
    """An event as another program writes it, past every check of ours."""
    return encode_event(event(MetadataLogged((MODEL,), {"k": value})))


def big(number: int) -> Ext:
    return Ext(1, number.to_bytes(12, "big", signed=True))


def dict_of(keys: list[Any]) -> msgspec.Raw:
    pairs = b"".join(encode(key) + b"\x01" for key in keys)
    return msgspec.Raw(b"\xdf" + struct.pack(">I", len(keys)) + pairs)


def nested(levels: int, code: int, inside: bytes = b"\x01") -> msgspec.Raw:
    for _ in range(levels):
        inside = encode(Ext(code, b"\x91" + inside))
    return msgspec.Raw(inside)


EQUAL = [big(number) for number in colliding(2000)]
HOSTILE: dict[str, Any] = {
    "set of integers": Ext(3, encode(EQUAL)),
    "frozenset of sizes": Ext(4, encode([Ext(13, item.data) for item in EQUAL])),
    "set of UUIDs": Ext(3, encode([Ext(9, (number * MODULUS).to_bytes(16, "big")) for number in range(2000)])),
    "set of Decimals": Ext(3, encode([Ext(8, str(number).encode()) for number in colliding(2000)])),
    "set of tuples": Ext(3, encode([Ext(2, encode([item])) for item in EQUAL])),
    "set in a tuple in a list": [{"a": Ext(2, encode([Ext(3, encode(EQUAL))]))}],
    "set of one element many times": Ext(3, encode([1] * 2000)),
    "large set": Ext(3, encode(list(range(MAX_SET + 1)))),
    "dict": dict_of(EQUAL),
    "dict in a list": [1, [dict_of(EQUAL)]],
    "dict in a tuple": Ext(2, encode([dict_of(EQUAL)])),
    "dict in a set": Ext(3, encode([Ext(2, encode([dict_of(EQUAL)]))])),
    "dict of few bytes": dict_of([1, 2]),
    "dict whose first key is text": dict_of(["text", *EQUAL]),
    "lists": msgspec.Raw(b"\x91" * 100_000 + b"\x01"),
    "dicts": msgspec.Raw(b"\x81\xa1k" * 100_000 + b"\x01"),
    "tuples": nested(MAX_DEPTH + 1, 2),
    "frozensets": nested(3000, 4),
    "integer": Ext(1, b"\x01" * (MAX_NUMBER_BYTES + 1)),
    "size": Ext(13, b"\x01" * (MAX_NUMBER_BYTES + 1)),
    "decimal": Ext(8, b"1" * (MAX_DECIMAL_CHARACTERS + 1)),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_takes_too_long_is_refused_with_the_limit(name: str) -> None:
    with pytest.raises(EventLimitError, match=r"at most|more than|deeper than|no text"):
        check_event(decode_event(wire(HOSTILE[name])))


def test_a_set_with_equal_hashes_is_refused_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    monkeypatch.setattr(extensions, "set", lambda items: made.append(len(items)), raising=False)
    with pytest.raises(EventCostError, match="with the same hash"):
        decode_event(wire([Ext(3, encode([1, 2, 3])), HOSTILE["set of integers"]]))
    assert made == [3]


@pytest.mark.parametrize(
    "value",
    [Ext(5, b"2" * 900_000), Ext(6, b"2" * 900_000), Ext(7, encode([1.5, 0, 0])), Ext(7, encode("123")), Ext(2, b"\xa3abc")],
    ids=["datetime", "date", "timedelta", "timedelta of a text", "tuple of a text"],
)  # fmt: skip
def test_an_extension_that_no_producer_writes_is_no_event(value: Any) -> None:
    with pytest.raises(EventDecodeError):
        decode_event(wire(value))


def test_an_event_beyond_every_size_is_not_decoded() -> None:
    with pytest.raises(EventCostError, match="at most 16,000,000"):
        decode_event(wire(b"x" * MAX_EVENT_BYTES))


def test_an_event_of_a_newer_schema_says_so_first() -> None:
    newer = msgspec.structs.replace(event(MetadataLogged((MODEL,), {"k": HOSTILE["dict"]})), schema=99)
    with pytest.raises(EventDecodeError, match="upgrade runlore"):
        decode_event(encode_event(newer))


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (set(colliding(MAX_EQUAL_HASHES + 1)), "with the same hash"),
        (frozenset([(0, frozenset(colliding(MAX_EQUAL_HASHES + 1)))]), "with the same hash"),
        (set(range(MAX_SET + 1)), "a set of 50,001 elements; at most 50,000"),
        (2 ** (8 * MAX_NUMBER_BYTES), "a number of 8,193 bytes; at most 8,192"),
        (StorageSize(2 ** (8 * MAX_NUMBER_BYTES)), "a number of 8,193 bytes"),
        (decimal.Decimal("1" * (MAX_DECIMAL_CHARACTERS + 1)), "a number of 20,001 bytes"),
    ],
    ids=["set", "nested set", "large set", "int", "size", "decimal"],
)
def test_the_producer_refuses_the_same_and_names_the_path(value: Any, reason: str) -> None:
    with pytest.raises(MetadataTypeError, match=reason) as raised:
        pack_metadata({"fine": 1, "g": {"bad": [value]}})
    assert [path for path, _ in raised.value.paths] == ["g.bad[0]"]


def test_the_largest_values_that_are_allowed_come_back() -> None:
    values = {
        "equal hashes": set(colliding(MAX_EQUAL_HASHES)),
        "numbers": set(range(MAX_SET)),
        "int": -(2 ** (8 * MAX_NUMBER_BYTES - 2)),
        "decimal": decimal.Decimal("1" * MAX_DECIMAL_CHARACTERS),
        "far": decimal.Decimal("1E+999999999999999999"),
        "span": dt.timedelta.max,
        "uuids": {uuid.UUID(int=number) for number in range(1000)},
        "long dict": {str(number): {"a": [number]} for number in range(1000)},
    }
    decoded = decode_event(encode_event(event(MetadataLogged((MODEL,), pack_metadata(values)))))
    check_event(decoded)
    assert isinstance(decoded.fact, MetadataLogged)
    assert decoded.fact.metadata == values
