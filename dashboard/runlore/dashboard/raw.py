"""Readable forms of raw events: decoded as JSON, and as a hex dump."""

from __future__ import annotations

from typing import Any

import msgspec

from runlore.dashboard.texts import FOLDED
from runlore.query.plain import plain
from runlore.schemas.errors import RunloreError
from runlore.schemas.values import decode_value
from runlore.schemas.visible import visible


def json_text(value: Any, limit: int = FOLDED) -> str:
    """Return a value as indented JSON; values that JSON cannot express are text, invisible characters are escaped."""
    text = msgspec.json.format(msgspec.json.encode(plain(value))).decode()
    cut = visible(text[:limit], lines=True)
    return cut if len(text) <= limit else f"{cut}…\n({len(text) - limit:,} more characters)"


def message_pack_text(payload: bytes) -> str | None:
    """Return MessagePack as JSON, None for bytes that are not MessagePack."""
    try:
        return json_text(decode_value(payload))
    except (RunloreError, ValueError, TypeError, ArithmeticError, RecursionError):
        return None


def dump(data: bytes, limit: int) -> str:
    """Return a hex dump, 16 bytes per line: offset, hexadecimal, ASCII; then the number of bytes left out."""
    shown = data[:limit]
    rows = [shown[start : start + 16] for start in range(0, len(shown), 16)]
    lines = [
        f"{16 * place:04x}  {row.hex(' '):47}  {''.join(chr(b) if 32 <= b < 127 else '.' for b in row)}"
        for place, row in enumerate(rows)
    ]
    if len(data) > limit:
        lines.append(f"({len(data) - limit:,} more bytes)")
    return "\n".join(lines)
