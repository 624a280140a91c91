"""The arguments of a call as parameters of its run or step: those selected, without secrets, never failing the call."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import lru_cache
from typing import Any, NamedTuple, cast

import msgspec

from runlore.producer.lifecycle import default_producer
from runlore.producer.runs.secret_names import is_secret_name
from runlore.producer.runs.secrets import redact
from runlore.schemas.names import is_unicode
from runlore.schemas.values import decode_value, pack_metadata

MAX_TEXT = 500
"""Characters of a text; longer ones are data."""
MAX_ITEMS = 50
"""Of a list, tuple or dict."""
MAX_DEPTH = 4
MAX_INT_BITS = 256
MAX_VALUE = 8_000
"""Characters of one argument as text: many small parts are data too, and must not make the event too large."""

_NUMBERS = (int, float, bool)
_LEFT_OUT = object()


class ParameterSelection(NamedTuple):
    """The arguments to record."""

    every: bool = False
    numbers: bool = False
    names: frozenset[str] = frozenset()

    def takes(self, name: str, value: Any) -> bool:
        return self.every or name in self.names or (self.numbers and type(value) in _NUMBERS)


_NOTHING = ParameterSelection()


@lru_cache(maxsize=16)
def selection_from_setting(text: str) -> ParameterSelection:
    """Return the selection that RUNLORE_RECORD means: ``none``, ``numbers``, ``all``, or names of arguments."""
    words = frozenset(text.split(","))
    return ParameterSelection("all" in words, "numbers" in words, words - {"all", "numbers", "none"})


def selection_from_argument(record: bool | Iterable[str]) -> ParameterSelection:
    """Return the selection that `record=` of a decorator means. Raises TypeError."""
    if isinstance(record, bool):
        return ParameterSelection(every=record)
    names = None if isinstance(record, str) else frozenset(record)
    if names is None or not all(isinstance(name, str) for name in names):  # pyright: ignore[reportUnnecessaryIsInstance] -- callers are untyped
        raise TypeError(f"record={record!r}: pass True, False, or a list of names of arguments")
    return ParameterSelection(names=names)


def call_parameters(
    signature: inspect.Signature | None,
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    selection: ParameterSelection,
    maker: Callable[[Any], object] | None = None,
) -> dict[str, Any]:
    """Return the plain values among a call's selected arguments by name, defaults included.

    Plain are None, bool, int, float, texts up to `MAX_TEXT`, and short lists, tuples and dicts of those. Left out is
    everything else, what has a `maker`, and, unless RUNLORE_REDACT is off, what looks like a secret or holds one. A
    call that does not fit its function has none; the call itself raises.
    """
    if signature is None or not signature.parameters or selection == _NOTHING:
        return {}
    try:
        bound = signature.bind(*args, **kwargs)
        bound.apply_defaults()
    except TypeError:
        return {}
    hides = default_producer().settings.redact
    found: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        match signature.parameters[name].kind:
            case inspect.Parameter.VAR_KEYWORD:
                wanted = selection if name not in selection.names else ParameterSelection(every=True)
                group = _recorded(value, wanted, hides, maker)
                found |= {name: group} if group and _is_worth_it(group) else {}
            case inspect.Parameter.VAR_POSITIONAL if value and all(selection.takes(name, item) for item in value):
                found |= _recorded({name: value}, ParameterSelection(every=True), hides, maker)
            case _:
                found |= _recorded({name: value}, selection, hides, maker)
    return found


def _recorded(
    given: Mapping[str, Any], selection: ParameterSelection, hides: bool, maker: Callable[[Any], object] | None
) -> dict[str, Any]:
    """Of these arguments those that are recorded, as copies."""
    taken = {name: value for name, value in given.items() if selection.takes(name, value)}
    plain = {name: _plain(value, MAX_DEPTH) for name, value in taken.items() if maker is None or maker(value) is None}
    return {name: value for name, value in plain.items() if _is_worth_it(value) and not (hides and _hides(name, value))}


def _hides(name: str, value: Any) -> bool:
    """Return whether a plain argument looks like a secret, or holds one."""
    return is_secret_name(name) or (type(value) not in _NUMBERS and redact(value, name) is not value)


def _hides_some(name: str, packed: Any) -> bool:
    """Return whether a packed parameter must be looked through: a number under a plain name is no secret."""
    return type(packed) not in _NUMBERS or is_secret_name(name)


def _is_worth_it(value: Any) -> bool:
    return value is not _LEFT_OUT and value not in ((), {}) and len(repr(value)) <= MAX_VALUE


def _plain(value: Any, depth: int) -> Any:
    """The value, `_LEFT_OUT` where it is not plain. Exact types: a subclass may do anything when it is read."""
    kind = type(value)  # pyright: ignore[reportUnknownVariableType] -- a caller's value
    if value is None or kind in (bool, float):
        return value
    if kind is int:
        return value if value.bit_length() <= MAX_INT_BITS else _LEFT_OUT
    if kind is str:
        return value if len(value) <= MAX_TEXT and is_unicode(value) else _LEFT_OUT
    if kind not in (list, tuple, dict) or depth == 0 or len(value) > MAX_ITEMS:
        return _LEFT_OUT
    # A copy: the function may change what it was given before the event is stored.
    if kind is dict:
        return _plain_dict(cast(dict[Any, Any], value), depth)
    items = [_plain(item, depth - 1) for item in value]
    if any(item is _LEFT_OUT for item in items):
        return _LEFT_OUT
    return tuple(items) if kind is tuple else items


def _plain_dict(value: dict[Any, Any], depth: int) -> Any:
    names = [_plain(name, 0) for name in value]
    items = [_plain(item, depth - 1) for item in value.values()]
    if any(type(name) is not str for name in names) or any(item is _LEFT_OUT for item in items):
        return _LEFT_OUT
    return dict(zip(names, items, strict=True))


def redact_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Return parameters with ``[redacted]`` for their secrets, unless the settings say otherwise."""
    return redact(dict(parameters)) if default_producer().settings.redact else dict(parameters)


def pack_parameters(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """Pack parameters for the start of a run or step; secrets in them become ``[redacted]``.

    Raises MetadataTypeError.
    """
    packed = pack_metadata(parameters)
    if not default_producer().settings.redact or not any(_hides_some(*item) for item in packed.items()):
        return packed
    plain = decode_value(msgspec.msgpack.encode(packed))
    cleaned = redact(plain)
    return packed if cleaned is plain else pack_metadata(cleaned)
