"""Refusals: why a value cannot be stored, before its path is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_LONGEST = 200
"""Characters of a foreign error's message."""


class UnsupportedError(Exception):
    """Why one value cannot be stored; `pack_metadata` adds the path."""


class Unreadable:
    """Stands for a part of a user's object that could not be read, so that the refusal names its path."""

    __slots__ = ("reason",)

    def __init__(self, reason: str) -> None:
        self.reason = reason


def guarded(convert: Callable[[Any], Any], value: Any) -> Any:
    """What a user's object converts to. Whatever its code raises becomes UnsupportedError; BaseException passes."""
    try:
        return convert(value)
    except UnsupportedError:
        raise
    except Exception as error:
        raise UnsupportedError(f"reading it raised {_said(error)}") from error


def read_part(read: Callable[[Any], Any], name: Any) -> Any:
    """A field or item of a user's object, or an Unreadable that says why there is none."""
    try:
        return guarded(read, name)
    except UnsupportedError as error:
        return Unreadable(str(error))


def _said(error: Exception) -> str:
    kind = type(error).__name__
    try:
        text = " ".join(str(error).split())
    except Exception:  # noqa: BLE001 -- as above: the message is the object's own code
        return kind
    return f"{kind}: {text[:_LONGEST]}" if text else kind
