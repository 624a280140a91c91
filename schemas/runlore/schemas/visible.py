"""Texts of others as people may see them: without characters that act on a terminal or hide in a page.

Control characters (ESC and C1 among them) move cursors and rewrite lines, bidi controls turn the order of what follows,
and other format characters cannot be seen. All of them are written as escapes.
"""

from __future__ import annotations

import re

_FORMATS = (
    "\x7f-\x9f\xad\u0600-\u0605\u061c\u06dd\u070f\u0890\u0891\u08e2\u180e\u200b-\u200f\u2028-\u202e\u2060-\u2064"
    "\u2066-\u206f\ud800-\udfff\ufeff\ufff9-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f\U0001bca0-\U0001bca3"
    "\U0001d173-\U0001d17a\U000e0001\U000e0020-\U000e007f"
)
"""Unicode's categories Cc, Cf, Cs, Zl and Zp beyond the control characters of ASCII, which a test compares."""

HIDDEN = re.compile(f"[\x00-\x1f{_FORMATS}]")
HIDDEN_IN_LINES = re.compile(f"[\x00-\x08\x0b-\x1f{_FORMATS}]")
"""The same without line feeds and tabs."""


def visible(text: str, lines: bool = False) -> str:
    """Return a text with control, bidi and other invisible characters escaped; `lines` keeps line ends and tabs."""
    if text.isascii() and text.isprintable():
        return text
    return (HIDDEN_IN_LINES if lines else HIDDEN).sub(_escape, text)


def escape_of(char: str) -> str:
    """Return a character as Python writes it where it cannot be seen: ``\\x1b``, ``\\u202e``."""
    return ascii(char)[1:-1]


def _escape(found: re.Match[str]) -> str:
    return escape_of(found[0])


def visible_json(data: bytes) -> bytes:
    """Return a JSON text with such characters as JSON's own escapes, so that it is the same JSON."""
    if data.isascii() and b"\x7f" not in data:
        return data
    return HIDDEN_IN_LINES.sub(_json_escape, data.decode()).encode()


def _json_escape(found: re.Match[str]) -> str:
    code = ord(found[0])
    if code < 0x10000:
        return f"\\u{code:04x}"
    code -= 0x10000
    return f"\\u{0xD800 + (code >> 10):04x}\\u{0xDC00 + (code & 0x3FF):04x}"
