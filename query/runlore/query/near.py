"""What somebody may have meant: known names that are like one that is not known."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

MOST = 3
"""Names that are suggested."""
MAX_KNOWN = 5_000
"""Names that are compared: comparing takes some microseconds each."""


def near(wanted: str, known: Iterable[str]) -> list[str]:
    """Known names that end with the wanted one (`parameters.lr` for `lr`), else those that look like it."""
    names = list(dict.fromkeys(known))[:MAX_KNOWN]
    inside = [name for name in names if name.endswith((f".{wanted}", f"::{wanted}"))]
    folded = {name.casefold(): name for name in reversed(names)}
    found = inside or [folded[name] for name in difflib.get_close_matches(wanted.casefold(), folded, MOST)]
    return [name for name in found if name != wanted][:MOST]


def meant(wanted: str, known: Iterable[str], quote: str = "'") -> str:
    """``; did you mean 'this' or 'that'?``, or nothing."""
    found = near(wanted, known)
    return f"; did you mean {' or '.join(f'{quote}{name}{quote}' for name in found)}?" if found else ""
