"""The arguments of a call as parameters of its run or step: plain values only, and never a reason to fail."""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Callable
from typing import Any, cast

MAX_TEXT = 500
"""Characters of a text; what is longer is data."""
MAX_ITEMS = 50
"""Of a list, tuple or dict."""
MAX_DEPTH = 4
MAX_INT_BITS = 256
MAX_VALUE = 8_000
"""Characters of one argument written out: many small parts are data as well, and must not make the event too large."""

_SECRET = re.compile(r"pass(word|wd|phrase)|secret|(^|_)token$|credential|(api|private|access)_?key", re.IGNORECASE)
"""Names of arguments that are never recorded: what is logged is never forgotten. (`max_tokens` is no secret.)"""

_LEFT_OUT = object()


def call_parameters(
    target: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    maker: Callable[[Any], object] | None = None,
) -> dict[str, Any]:
    """The plain values among a call's arguments, by name, defaults included.

    Plain are None, bool, int, float, texts up to `MAX_TEXT`, and short lists, tuples and dicts of those. Left out is
    everything else, what has a `maker`, and what its name says is secret (``password``, ``api_key`` …). A call that
    does not fit its function has none: calling it says so.
    """
    try:
        bound = _signature(target).bind(*args, **kwargs)
        bound.apply_defaults()
    except (TypeError, ValueError):
        return {}
    given = {
        name: value
        for name, value in bound.arguments.items()
        if not _SECRET.search(name) and (maker is None or maker(value) is None)
    }
    plain = {name: _plain(value, MAX_DEPTH) for name, value in given.items()}
    return {name: value for name, value in plain.items() if _is_worth_it(value)}


def _is_worth_it(value: Any) -> bool:
    return value is not _LEFT_OUT and value not in ((), {}) and len(repr(value)) <= MAX_VALUE


@functools.lru_cache(maxsize=1024)
def _signature(target: Callable[..., Any]) -> inspect.Signature:
    return inspect.signature(target)


def _plain(value: Any, depth: int) -> Any:
    """The value, `_LEFT_OUT` where it is not plain. Exact types: a subclass may do anything when it is read."""
    kind = type(value)  # pyright: ignore[reportUnknownVariableType] -- a caller's value
    if value is None or kind in (bool, float):
        return value
    if kind is int:
        return value if value.bit_length() <= MAX_INT_BITS else _LEFT_OUT
    if kind is str:
        return value if len(value) <= MAX_TEXT and _is_unicode(value) else _LEFT_OUT
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
    if any(type(name) is str and _SECRET.search(name) for name in value):
        return _LEFT_OUT
    names = [_plain(name, 0) for name in value]
    items = [_plain(item, depth - 1) for item in value.values()]
    if any(type(name) is not str for name in names) or any(item is _LEFT_OUT for item in items):
        return _LEFT_OUT
    return dict(zip(names, items, strict=True))


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
