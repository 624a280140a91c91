"""Redaction: an event's payload without some of its values. A pure function, so that every machine gets the same bytes.

The payload is changed as plain MessagePack: fields that this version does not know stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import msgspec
from msgspec.msgpack import Ext

from runlore.schemas.errors import EventDecodeError
from runlore.schemas.paths import PathParts
from runlore.schemas.signatures import hash_to_sign

ERASED_CODE = 15
"""The extension that takes a value's place: see `values`."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode


def redacted(payload: bytes, paths: Iterable[PathParts], reason: str) -> bytes:
    """The payload with the reason in the place of the values at these paths of its metadata, and without its salt.

    Raises EventDecodeError when it is no event with metadata, or has no value at a path.
    """
    try:
        event = _decode(payload)
        metadata = cast(dict[str, Any], event["fact"]["metadata"])
    except (msgspec.MsgspecError, RecursionError, KeyError, TypeError) as error:
        raise EventDecodeError(f"not an event with metadata: {error}") from error
    mark = Ext(ERASED_CODE, reason.encode())
    for path in paths:
        _put(metadata, path, mark)
    event.pop("salt", None)  # who has it could try values against the hash that stays
    signature = event.get("signature")
    if isinstance(signature, dict) and "hash" not in signature:
        signature["hash"] = hash_to_sign(payload)  # so that it can still be checked
    return _encode(event)


def _put(metadata: dict[str, Any], path: PathParts, mark: Ext) -> None:
    *above, name = path
    group: dict[str, Any] = metadata
    for part in above:
        inner = group.get(part)
        group = cast(dict[str, Any], inner) if isinstance(inner, dict) else {}
    if name not in group:
        raise EventDecodeError(f"the event has no value at {'.'.join(path)!r}")
    group[name] = mark
