"""Refusals: why a value cannot be stored, before its path is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_LONGEST = 200
"""Characters of a foreign error's message."""


class UnsupportedError(Exception):
    """One value cannot be stored, and why; `pack_metadata` adds the path."""


class Unreadable:
    """Placeholder for a part of a user's object that could not be read, so that the refusal names its path."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


def guarded(convert: Callable[[Any], Any], value: Any) -> Any:
    """Return the result of a user object's conversion. Any Exception of its code becomes UnsupportedError."""
    try:
        return convert(value)
    except UnsupportedError:
        raise
    except (
        Exception
    ) as error:  # the caller's object may raise anything; a log call names its path instead of failing so
        raise UnsupportedError(f"reading it raised {_described(error)}") from error


def read_part(read: Callable[[Any], Any], name: Any) -> Any:
    """A field or item of a user's object, or an Unreadable that says why there is none."""
    try:
        return guarded(read, name)
    except UnsupportedError as error:
        return Unreadable(str(error))


def _described(error: Exception) -> str:
    kind = type(error).__name__
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 -- as above: `__str__` is the object's own code
        return kind
    return f"{kind}: {text[:_LONGEST]}" if text else kind
