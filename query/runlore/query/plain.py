"""Values as JSON knows them."""

from __future__ import annotations

import math
from typing import Any, cast

import msgspec

from runlore.schemas.special import Erased
from runlore.store.cells import readable

_EXACT_INT = 2**53
"""JSON readers may hold numbers as doubles: larger integers are written as text."""


def plain(value: Any) -> Any:
    """A value, struct or named tuple as JSON: exact where JSON is, else readable text."""
    match value:
        case None | bool():
            return value
        case msgspec.Struct():
            return {name: plain(getattr(value, name)) for name in value.__struct_fields__}
        case dict() | list() | tuple():
            return _plain_collection(value)
        case int() if abs(value) <= _EXACT_INT:
            return int(value)
        case float() if math.isfinite(value):
            return value
        case Erased():
            return readable(value)  # never like the value that was there
        case str():
            return value.encode("utf-8", "replace").decode()
        case _:
            return readable(value)


def _plain_collection(value: Any) -> Any:
    if hasattr(value, "_asdict"):
        value = value._asdict()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in cast(dict[str, Any], value).items()}
    return [plain(item) for item in value]
