"""Literals: numbers with units, times, texts and words, from their text."""

from __future__ import annotations

import decimal
import json
import math
import re

from runlore.query.find.ast import Duration, Literal, NumberLiteral, Time
from runlore.query.time.iso import iso_time

_SIZES = {
    prefix + infix + "B": base**power
    for infix, base in (("", 1000), ("i", 1024))
    for power, prefix in enumerate(("k", "M", "G", "T", "P"), 1)
}
_BYTES = {"B": 1} | _SIZES | {"K" + unit[1:]: size for unit, size in _SIZES.items() if unit[0] == "k"}
_MICROS = {"us": 1, "ms": 1_000, "s": 1_000_000, "min": 60_000_000, "h": 3_600_000_000, "d": 86_400_000_000}
_WORDS: dict[str, Literal] = {"true": True, "false": False, "null": None, "none": None}
_EXACT = decimal.Context(prec=decimal.MAX_PREC, Emax=decimal.MAX_EMAX, Emin=decimal.MIN_EMIN)
MAX_DIGITS = 200
"""Digits of a number in a filter, and of a stored one that filters compare with; the exponent counts, too."""


def number(text: str, unit: str = "") -> NumberLiteral | Duration:
    """A number, a size in bytes (``1.5MB``) or a duration (``90s``). Raises ValueError beyond `MAX_DIGITS`."""
    try:
        exact = decimal.Decimal(text)
    except decimal.InvalidOperation:  # an exponent beyond what decimals can have
        exact = decimal.Decimal("inf")
    if len(text) > MAX_DIGITS or exact.is_infinite() or (exact and abs(exact.adjusted()) > 1_000):
        raise ValueError(f"a number of at most {MAX_DIGITS} characters, below 1e1000")
    factor = _MICROS.get(unit) or _BYTES.get(unit)
    if factor is not None:
        exact = _EXACT.multiply(exact, decimal.Decimal(factor))
    # With a point or an exponent it means the float so written, unless no float is that large.
    as_float = float(exact)
    whole = factor is not None or text.lstrip("+-").isdecimal() or math.isinf(as_float)
    value = int(exact) if whole and exact == int(exact) else as_float
    return Duration(value) if unit in _MICROS else NumberLiteral(value, exact)


def word(text: str) -> Literal:
    """Return the value of a bare word: true, false, null, nan, inf."""
    bare = text.lower()
    if bare in _WORDS:
        return _WORDS[bare]
    return NumberLiteral(float(bare), decimal.Decimal(bare))


def is_word(text: str) -> bool:
    """Return whether `word` knows it."""
    return re.fullmatch(r"true|false|null|none|[+-]?(?:nan|inf|infinity)", text, re.IGNORECASE) is not None


def unquoted(text: str) -> str:
    """A text in single quotes (two stand for one) or in double quotes (a JSON string)."""
    if text[0] == "'":
        return text[1:-1].replace("''", "'")
    return str(json.loads(text, strict=False))


def quoted(text: str) -> str:
    """The text as a filter has it; the inverse of `unquoted`."""
    return "'" + text.replace("'", "''") + "'"


def time(text: str) -> Time | None:
    """The moment an ISO 8601 text says, None when it is none; without a zone it is UTC."""
    found = iso_time(text)
    return None if found is None else Time(*found)
