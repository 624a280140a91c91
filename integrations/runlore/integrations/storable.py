"""Values of a host as metadata: settings, numbers and names, never its data."""

from __future__ import annotations

import datetime as dt
import enum
from collections.abc import Mapping
from os import PathLike
from typing import Any, cast

MAX_ITEMS = 200
"""Items of one container; of a longer one only its type and length are kept."""
MAX_DEPTH = 6
MAX_TEXT = 4_000
"""Characters."""
_PLAIN = (type(None), bool, int, float, str, dt.datetime, dt.date, dt.timedelta)


def storable(value: Any, depth: int = 0) -> Any:
    """Return a host's setting as a value that can be logged.

    Numbers, texts, and small containers of them stay; classes and functions become their names, arrays, frames and
    other objects the name of their type, with its shape.
    """
    if isinstance(value, enum.Enum):
        return storable(value.value, depth)
    if isinstance(value, str):
        return str(value)[:MAX_TEXT]
    if isinstance(value, _PLAIN):
        return value
    if isinstance(value, PathLike):
        return str(cast("PathLike[str]", value))
    if isinstance(value, Mapping):
        return _mapping(value, depth)  # pyright: ignore[reportUnknownArgumentType] -- whatever a host gives
    if isinstance(value, (list, tuple, set, frozenset)):
        return _sequence(cast("list[Any]", value), depth)
    number = scalar(value)
    return named(value) if number is None else number


def scalar(value: Any) -> Any:
    """Return the Python number of a scalar of numpy, torch or another library; None for anything else."""
    if isinstance(value, (bool, int, float)):
        return value
    shape: Any = getattr(value, "shape", None)
    if shape is None or not hasattr(value, "item") or any(length != 1 for length in tuple(shape)):
        return None
    found = value.item()
    return found if isinstance(found, _PLAIN) else None


def numbers(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the numbers among a host's measurements, under their own names."""
    found = {f"{prefix}{name}": scalar(value) for name, value in values.items()}
    return {name: value for name, value in found.items() if value is not None}


def named(value: Any) -> str:
    """Return what an object is: the name of a class or function, else of its type, with its shape or length."""
    kind: Any = value if isinstance(value, type) or hasattr(value, "__qualname__") else type(value)
    name = str(kind.__qualname__)
    if kind is value:
        return name
    shape: Any = getattr(value, "shape", None)
    return name if not isinstance(shape, tuple) else f"{name}{shape}"


def _mapping(value: Mapping[Any, Any], depth: int) -> Any:
    if depth >= MAX_DEPTH or len(value) > MAX_ITEMS:
        return f"{type(value).__qualname__}({len(value)})"
    return {_key(key): storable(item, depth + 1) for key, item in value.items()}


def _sequence(value: list[Any], depth: int) -> Any:
    if depth >= MAX_DEPTH or len(value) > MAX_ITEMS:
        return f"{type(value).__qualname__}({len(value)})"
    items = [storable(item, depth + 1) for item in value]
    return tuple(items) if isinstance(value, tuple) else items


def _key(key: Any) -> str:
    return key if type(key) is str else str(storable(key))
