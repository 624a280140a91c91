"""Bytes of events: encoding, decoding, and the upcasting of older schema versions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from runlore.schemas.cost import TOO_DEEP, check_values
from runlore.schemas.errors import EventCostError, EventDecodeError
from runlore.schemas.events import SCHEMA_VERSION, Event, Signature
from runlore.schemas.extensions import unpack_extension
from runlore.schemas.limits import MAX_EVENT_BYTES, SCANNED_BYTES
from runlore.schemas.redaction import whole_reason, with_plain_texts

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]
"""Turns an event of schema n, as plain maps, into schema n + 1. Pure."""

UPCASTERS: Mapping[int, Upcaster] = {}
"""By the schema version they read. Version 1 is the first, so there is none yet."""

encode_event: Callable[[Event], bytes] = msgspec.msgpack.Encoder().encode
"""The stored bytes of an event whose metadata was packed with `values.pack_metadata`."""


class EventHead(msgspec.Struct, frozen=True):
    """The part of an event that its headers repeat; decodes without touching the metadata."""

    id: str
    project: str
    occurred_at: dt.datetime
    fact: _FactHead


class _IdHead(msgspec.Struct, frozen=True):
    id: str


class _SignedHead(msgspec.Struct, frozen=True):
    signature: Signature | None = None


class _FactHead(msgspec.Struct, frozen=True):
    type: str


class _SchemaHead(msgspec.Struct, frozen=True):
    schema: int


_decode_event = msgspec.msgpack.Decoder(Event, ext_hook=unpack_extension).decode
_decode_plain = msgspec.msgpack.Decoder(dict[str, Any], ext_hook=unpack_extension).decode
_decode_id = msgspec.msgpack.Decoder(_IdHead).decode
_decode_signed = msgspec.msgpack.Decoder(_SignedHead).decode
_decode_head = msgspec.msgpack.Decoder(EventHead).decode
_decode_schema = msgspec.msgpack.Decoder(_SchemaHead).decode

# What decoding hostile bytes raises besides msgspec's own errors: deep nesting, bad UTF-8, and the
# constructors of extension values (ValueError, TypeError, ArithmeticError, OverflowError).
_BROKEN = (msgspec.MsgspecError, RecursionError, ValueError, TypeError, ArithmeticError)


def decode_event(payload: bytes, upcasters: Mapping[int, Upcaster] = UPCASTERS) -> Event:
    """The event in `payload`, its values unpacked, upcast to the current schema.

    Raises EventDecodeError when the bytes are broken or of a schema this version does not know, EventCostError when
    they are beyond a limit of `limits`.
    """
    try:
        if len(payload) > SCANNED_BYTES:
            _check_payload(payload)
        event = _decode_event(payload)
    except _BROKEN as error:
        return _decode_other(payload, upcasters, error)
    if event.schema == SCHEMA_VERSION:
        return event
    return _decode_other(payload, upcasters, None)


def _check_payload(payload: bytes) -> None:
    if len(payload) > MAX_EVENT_BYTES:
        raise EventCostError(f"an event of {len(payload):,} bytes; at most {MAX_EVENT_BYTES:,} are decoded")
    check_values(payload)


def _decode_other(payload: bytes, upcasters: Mapping[int, Upcaster], error: Exception | None) -> Event:
    try:
        schema = _decode_schema(payload).schema
        if schema > SCHEMA_VERSION:
            raise EventDecodeError(
                f"event schema {schema} is newer than {SCHEMA_VERSION}: upgrade runlore, rebuild the view"
            )
        if error is not None and (schema == SCHEMA_VERSION or _cost(error)):
            if (event := _with_erased_texts(payload)) is not None:
                return event
            raise _refusal(error) from error
        return _upcast(_decode_plain(payload), schema, upcasters)
    except EventDecodeError:
        raise
    except _BROKEN as broken:
        reason = whole_reason(payload)
        erased = None if reason is None else EventDecodeError(f"all of it was erased: {reason}")
        raise erased or _refusal(broken) from broken


def _with_erased_texts(payload: bytes) -> Event | None:
    """An event whose note, reason or error message was erased: the decoder takes only texts there."""
    found = with_plain_texts(payload)
    if found is None:
        return None
    event = _decode_event(found[0])
    return replace(event, fact=replace(event.fact, **found[1]))


def _cost(error: BaseException) -> EventCostError | None:
    """The limit that an error is about, if any. msgspec wraps what an extension raises."""
    if isinstance(error, RecursionError):
        return EventCostError(TOO_DEEP)
    found = error if isinstance(error, EventCostError) else error.__cause__
    return EventCostError(str(found)) if isinstance(found, EventCostError) else None


def _refusal(error: Exception) -> EventDecodeError:
    return _cost(error) or EventDecodeError(f"not an event: {error}")


def _upcast(event: dict[str, Any], schema: int, upcasters: Mapping[int, Upcaster]) -> Event:
    for version in range(schema, SCHEMA_VERSION):
        if version not in upcasters:
            raise EventDecodeError(f"no way from event schema {version} to {version + 1}")
        event = upcasters[version](event)
    return msgspec.convert({**event, "schema": SCHEMA_VERSION}, Event)


def decode_id(payload: bytes) -> str:
    """ID of an event, in half the time of its head. Raises EventDecodeError."""
    try:
        return _decode_id(payload).id
    except _BROKEN as error:
        raise EventDecodeError(f"not an event: {error}") from error


def signing_key(payload: bytes) -> str | None:
    """The key in a message, as hex, if it is an event that has one; nothing is verified."""
    try:
        signature = _decode_signed(payload).signature
    except _BROKEN:
        return None
    return None if signature is None else signature.key.hex()


def decode_head(payload: bytes) -> EventHead:
    """ID, project, time and type of an event, without its metadata. Raises EventDecodeError."""
    try:
        return _decode_head(payload)
    except _BROKEN as error:
        raise EventDecodeError(f"not an event: {error}") from error
