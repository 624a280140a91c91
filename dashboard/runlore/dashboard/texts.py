"""Texts for pages: short and counted."""

from __future__ import annotations

from runlore.schemas.visible import visible

PREVIEW = 160
"""Characters of a text shown before it is unfolded."""
FOLDED = 20_000
"""Maximum number of characters in an unfolded text; the JSON has the rest."""


def shortened(text: str, limit: int = PREVIEW) -> str:
    """Return the beginning of a text, on one line, with an ellipsis where it was cut."""
    cut = visible(text[: limit + 1])
    return cut if len(text) <= limit else cut[:limit] + "…"


def short_reference(text: str) -> str:
    """Return a reference with its run ID cut to the end, which differs between consecutive runs."""
    kind, _, rest = text.partition(":")
    run, slash, step = rest.partition("/")
    if kind in ("run", "step") and len(run) > 20:
        return shortened(f"{kind}:…{run[-8:]}{slash}{step}", 80)
    return shortened(text, 80)


def counted(number: int, noun: str) -> str:
    """Return a number with its noun: 1 event, 1,175 events."""
    return f"{number:,} {noun if number == 1 else plural(noun)}"


def plural(noun: str) -> str:
    """Return the plural of a kind of entity or of another regular noun."""
    if noun.endswith("y") and noun[-2:-1] not in ("", "a", "e", "i", "o", "u"):
        return f"{noun[:-1]}ies"
    return f"{noun}es" if noun.endswith(("s", "x", "z", "ch", "sh")) else f"{noun}s"
