"""Metadata keys as the log holds them: exact text, as JSON writes the keys of an object."""

from __future__ import annotations

import enum
from typing import Any

from runlore.schemas.libraries import plain_float
from runlore.schemas.limits import MAX_KEY_BYTES
from runlore.schemas.refusal import UnsupportedError

_MAX_KNOWN, _MAX_KNOWN_LENGTH = 10_000, 200
_MAX_INT_BITS = 10_000
"""Longer ones have more digits than Python writes."""
_NAMES_OF_FLOATS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


class _KeyTexts(dict[Any, str]):
    """Keys that were found right, as exact text: the same ones come again and again.

    Only exact texts are put in. A lookup of any other key finds its text, or raises UnsupportedError.
    """

    def __missing__(self, key: Any) -> str:
        text = _checked(_text(key))
        if len(text) <= _MAX_KNOWN_LENGTH and len(self) < _MAX_KNOWN:
            self[text] = text
        return text


KEY_TEXTS = _KeyTexts()


def key_text(key: Any) -> str:
    """The text of a key: texts as they are, int, float, bool and None as `json.dumps` writes them as keys.

    Enums stand for their values, numpy's scalars for Python's. Raises UnsupportedError for any other key.
    """
    try:
        return KEY_TEXTS[key]
    except TypeError:  # it has no hash: a list as a part of a path
        raise UnsupportedError(f"keys must be strings, not {type(key).__name__}") from None


def _text(key: Any) -> str:
    if isinstance(key, enum.Enum):
        return _text(key.value)
    if isinstance(key, str):
        return str.__str__(key)
    if key is None:
        return "null"
    if isinstance(key, bool):
        return "true" if key else "false"
    if isinstance(key, int) and key.bit_length() <= _MAX_INT_BITS:
        return int.__repr__(key)
    if isinstance(key, float):
        text = float.__repr__(key)
        return _NAMES_OF_FLOATS.get(text, text)
    if type(key).__module__ == "numpy" and getattr(getattr(key, "dtype", None), "kind", "") in ("b", "i", "u", "f"):
        scalar: Any = key
        plain = scalar.item()
        return _text(plain_float(scalar) if type(plain) is type(scalar) else plain)  # longdouble: item() gives itself
    raise UnsupportedError(f"keys must be strings, not {type(key).__name__}")


def _checked(text: str) -> str:
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        raise UnsupportedError("keys must be valid Unicode (no lone surrogates)") from None
    if size > MAX_KEY_BYTES:
        raise UnsupportedError(f"a key of {size:,} bytes; at most {MAX_KEY_BYTES:,} are allowed")
    return text
