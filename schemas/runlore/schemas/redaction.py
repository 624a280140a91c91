"""Redaction: an event's payload without some of its content. A pure function: every machine gets the same bytes.

Content is what a person can put into an event: metadata, parameters, a run's environment, and the texts of notes,
reasons and errors. Names and tags are none. A path begins with the field of the fact: ``("metadata", "customer")``,
``("text",)``. A path to a group means all values below it, the empty path the whole payload. The payload is changed as
plain MessagePack: unknown fields stay as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, cast

import msgspec
from msgspec.msgpack import Ext

from runlore.schemas.errors import EventDecodeError
from runlore.schemas.paths import PathParts
from runlore.schemas.signatures import hash_to_sign
from runlore.schemas.special import Erased

ERASED_CODE = 15
"""The extension that takes a value's place: see `values`."""

VALUES = ("metadata", "parameters", "environment")
"""Fields of facts with values by name."""

TEXTS = ("text", "reason", "error_message")
"""Fields of facts with a text for people."""

WHOLE: PathParts = ()
"""The path of the whole payload, for what is no event or has no effect."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(dict[str, Any]).decode

_Put = Callable[[dict[str, Any], PathParts, Ext], None]


def redacted(payload: bytes, paths: Iterable[PathParts], reason: str) -> bytes:
    """The payload with the reason in the place of the content at these paths, and without its salt.

    Raises EventDecodeError when it is no event, or has nothing at a path.
    """
    wanted = tuple(paths)
    mark = Ext(ERASED_CODE, reason.encode())
    return _encode(mark) if wanted == (WHOLE,) else _rewritten(payload, wanted, mark, _put)


def redacted_v1(payload: bytes, paths: Iterable[PathParts], reason: str) -> bytes:
    """The same for statements of the first version: paths are those of metadata, and a group goes as one value."""
    wanted = [("metadata", *path) for path in paths]
    return _rewritten(payload, wanted, Ext(ERASED_CODE, reason.encode()), _put_v1)


def content(payload: bytes, *, erased: bool = True) -> list[PathParts]:
    """The paths of everything that can be erased from an event; `erased`: also of what says that it was.

    Raises EventDecodeError when the payload is no event.
    """
    with _as_decode_error():
        fact = _decode(payload)["fact"]
        texts = [(name,) for name in TEXTS if fact.get(name) is not None]
        values = [path for name in VALUES if fact.get(name) for path in _below((name,), fact[name])]
        return [path for path in (*texts, *values) if erased or not _is_mark(_at(fact, path))]


def whole_reason(payload: bytes) -> str | None:
    """Why all of a payload was erased; None if it was not."""
    try:
        found = msgspec.msgpack.decode(payload)
        return found.data.decode() if _is_mark(found) else None
    except _NO_EVENT:
        return None


def shortest(payload: bytes, paths: Iterable[PathParts]) -> tuple[PathParts, ...]:
    """Paths of values as fewer paths of groups, where all that a group has is meant; sorted."""
    wanted = set(paths)
    with _as_decode_error():
        fact = _decode(payload)["fact"]
        for name in VALUES:
            if fact.get(name):
                _gather((name,), fact[name], wanted)
    return tuple(sorted(wanted))


def with_plain_texts(payload: bytes) -> tuple[bytes, dict[str, Erased]] | None:
    """An event whose erased texts are texts, as a decoder of facts expects, and these; None if it has none."""
    try:
        event = _decode(payload)
        fact = event["fact"]
        marks = {name: Erased(fact[name].data.decode()) for name in TEXTS if _is_mark(fact.get(name))}
    except _NO_EVENT:
        return None
    fact |= {name: str.__str__(mark) for name, mark in marks.items()}
    return (_encode(event), marks) if marks else None


_NO_EVENT = (msgspec.MsgspecError, RecursionError, KeyError, TypeError, AttributeError, ValueError)


@contextmanager
def _as_decode_error() -> Generator[None]:
    try:
        yield
    except EventDecodeError:
        raise
    except _NO_EVENT as error:
        raise EventDecodeError(f"not an event with content: {error}") from error


def _rewritten(payload: bytes, paths: Iterable[PathParts], mark: Ext, put: _Put) -> bytes:
    with _as_decode_error():
        event = _decode(payload)
        fact = cast("dict[str, Any]", event["fact"])
        for path in paths:
            if not path or path[0] not in (*VALUES, *TEXTS):
                raise EventDecodeError(f"nothing is erased at {'.'.join(path)!r}")
            put(fact, path, mark)
        _reseal(event, payload)
        return _encode(event)


def _reseal(event: dict[str, Any], payload: bytes) -> None:
    """Change the fields of the envelope that depend on the content."""
    event.pop("salt", None)  # who has it could try values against the hash that stays
    signature = event.get("signature")
    if isinstance(signature, dict) and "hash" not in signature:
        signature["hash"] = hash_to_sign(payload)  # so that it can still be checked


def _put(fact: dict[str, Any], path: PathParts, mark: Ext) -> None:
    *above, name = path
    group = _at(fact, tuple(above))
    if not isinstance(group, dict) or name not in group or (len(path) == 1 and group[name] in (None, {})):
        raise EventDecodeError(f"the event has no value at {'.'.join(path)!r}")
    for *parents, leaf in _below(path, group[name]):
        _at(fact, tuple(parents))[leaf] = mark


def _put_v1(fact: dict[str, Any], path: PathParts, mark: Ext) -> None:
    *above, name = path
    group = _at(fact, tuple(above))
    if not isinstance(group, dict) or name not in group:
        raise EventDecodeError(f"the event has no value at {'.'.join(path[1:])!r}")
    group[name] = mark


def _at(fact: Any, path: PathParts) -> Any:
    """What an event has at a path; None where it has nothing."""
    found = fact
    for part in path:
        found = cast("dict[str, Any]", found).get(part) if isinstance(found, dict) else None
    return found


def _below(path: PathParts, value: Any) -> list[PathParts]:
    """The paths of the values at or below one; those of a group are listed before any of them is changed."""
    if not isinstance(value, dict) or not value:
        return [path]
    group = cast("Mapping[Any, Any]", value)
    if not all(isinstance(name, str) for name in group):
        raise EventDecodeError(f"a name below {'.'.join(path)!r} is no text")
    return [leaf for name, inner in group.items() for leaf in _below((*path, name), inner)]


def _gather(path: PathParts, group: Mapping[str, Any], wanted: set[PathParts]) -> None:
    """Replace the paths of all that is in a group by that of the group."""
    inside = list(_children(path, group))
    for child, value in inside:
        if isinstance(value, dict) and value:
            _gather(child, cast("dict[str, Any]", value), wanted)
    if all(child in wanted for child, _ in inside):
        wanted.difference_update(child for child, _ in inside)
        wanted.add(path)


def _children(path: PathParts, group: Mapping[str, Any]) -> Iterator[tuple[PathParts, Any]]:
    return (((*path, name), value) for name, value in group.items())


def _is_mark(value: Any) -> bool:
    return isinstance(value, Ext) and value.code == ERASED_CODE
