"""Texts that people and programs wrote, made harmless and short enough to show."""

from __future__ import annotations

import unicodedata

PREVIEW = 160
"""Characters of a text that show at once."""
FOLDED = 20_000
"""Characters that a fold holds; the rest is in the JSON."""

_UNSEEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


def visible(text: str, lines: bool = False) -> str:
    """The text with control, bidi and other unseen characters written as escapes; `lines` keeps line ends and tabs."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_seen(char, lines) for char in text)


def _seen(char: str, lines: bool) -> str:
    if unicodedata.category(char) not in _UNSEEN or (lines and char in "\n\t"):
        return char
    return char.encode("unicode_escape").decode() if char.isascii() else f"\\u{ord(char):04x}"


def shortened(text: str, limit: int = PREVIEW) -> str:
    """The beginning of a text, on one line, with an ellipsis where it was cut."""
    cut = visible(text[: limit + 1])
    return cut if len(text) <= limit else cut[:limit] + "…"
