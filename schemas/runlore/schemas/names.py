"""Names and texts as the log holds them: exact `str`, valid Unicode, of bounded size."""

from __future__ import annotations

import enum
import operator
from typing import Any

from runlore.schemas.errors import ArgumentError, InvalidReferenceError
from runlore.schemas.limits import MAX_LABEL_BYTES, MAX_NAME_BYTES

_MAX_INT_BITS = 600
"""Integers of more bits have no version's 200 digits."""


def exact_text(value: Any) -> Any:
    """The plain `str` of a text, a subclass of it (`numpy.str_`) or an Enum of texts; anything else as it is."""
    if type(value) is str:
        return value
    if isinstance(value, enum.Enum):
        return exact_text(value.value)
    return str.__str__(value) if isinstance(value, str) else value


def check_name(what: str, name: Any, limit: int = MAX_NAME_BYTES) -> str:
    """`name` as exact text, if it can be stored as a name. Raises InvalidReferenceError."""
    text = exact_text(name)
    if type(text) is not str or not text:
        raise InvalidReferenceError(f"{what} must be a non-empty string, not {_shown(text)}")
    _check_size(what, text, limit)
    if not text.isprintable() and any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise InvalidReferenceError(f"{what} {text!r} holds control characters")
    return text


def check_version(version: Any, what: str = "version") -> str:
    """A version as exact text: texts and whole numbers, also of numpy or an Enum. Raises InvalidReferenceError.

    Floats and bools are refused: `2.0` may mean version 2 or a version called "2.0".
    """
    plain = exact_text(version)
    if isinstance(plain, enum.Enum):  # pyright: ignore[reportUnnecessaryIsInstance] -- an Enum's value may be one
        plain = plain.value
    if type(plain) is str:
        return check_name(what, plain)
    try:
        number = None if isinstance(plain, bool) else operator.index(plain)
    except TypeError:
        number = None
    if number is None or number.bit_length() > _MAX_INT_BITS:
        raise InvalidReferenceError(
            f"{what} must be text or a whole number, not {_shown(plain)}: write {what} 2 as 2 or '2'"
        )
    return check_name(what, str(number))


def check_label(what: str, text: Any, limit: int = MAX_LABEL_BYTES) -> str:
    """A text that identifies nothing, exact and of bounded size; may be empty. Raises InvalidReferenceError."""
    plain = exact_text(text)
    if type(plain) is not str:
        raise InvalidReferenceError(f"{what} must be text, not {_shown(plain)}")
    _check_size(what, plain, limit)
    return plain


def check_text(what: str, text: Any) -> str:
    """A text for people (a note, a reason), exact; what is no valid Unicode in it becomes ``?``.

    Raises ArgumentError for what is no text.
    """
    plain = exact_text(text)
    if type(plain) is not str:
        raise ArgumentError(f"{what} must be text, not {_shown(plain)}")
    return plain if plain.isascii() else plain.encode("utf-8", "replace").decode()


def is_unicode(text: str) -> bool:
    """Return whether a text is valid Unicode: no half of a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _check_size(what: str, text: str, limit: int) -> None:
    try:
        size = len(text) if text.isascii() else len(text.encode())
    except UnicodeEncodeError:
        raise InvalidReferenceError(f"{what} {text[:limit]!r} is not valid Unicode") from None
    if size > limit:
        raise InvalidReferenceError(f"{what} of {size} bytes; at most {limit} are allowed")


def _shown(value: Any) -> str:
    """A value of a wrong type in an error's text: exact numbers as they are, of the rest the type alone."""
    return repr(value) if type(value) in (str, bool, float, type(None)) else type(value).__name__
