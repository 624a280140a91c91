"""Cells of CSV files: numbers as they are, and no text that a spreadsheet would run."""

from __future__ import annotations

from typing import Any

from runlore.query.numbers import is_number
from runlore.query.plain import plain
from runlore.schemas.visible import visible
from runlore.store.cells import readable

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


def cell(value: Any) -> str:
    """Return a value for a spreadsheet: a number unchanged, anything else as text that is not a formula."""
    if not is_number(value):
        return inert(readable(value))
    return str(plain(int(value))) if isinstance(value, int) else str(value)


def inert(text: str) -> str:
    """Return text that a spreadsheet does not run: an apostrophe precedes anything that looks like a formula."""
    bare = text.lstrip(" \u00a0\ufeff")
    runs = bare.startswith(_FORMULA) or text.startswith(_FORMULA)
    return ("'" if runs else "") + visible(text, lines=True)
