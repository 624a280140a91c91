"""Words of scripts without spaces: indexed and searched by pairs of characters.

A full-text index takes such a sentence for one word. Here each run of those characters becomes all its pairs and
its last character (`客户流失` gives `客户 户流 流失 失`): any part of it is a phrase of pairs that follow each other.
"""

from __future__ import annotations

import re
import unicodedata
from itertools import pairwise

# Thai and Lao, Burmese, Khmer, kana, Han, Hangul (whose words carry endings), and what Unicode added to Han later.
_RUN = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7af\uf900-\ufaff\U00020000-\U0003ffff]+"
)


def grams(*texts: str | None) -> str | None:
    """Return the texts with their runs split into pairs, None if they have none; the index holds both."""
    found = [text for text in map(_composed, texts) if _RUN.search(text)]
    return " ".join(_RUN.sub(_apart, text) for text in found) or None


def gram_phrase(word: str) -> str | None:
    """Return the index's phrase for a searched word, None for one without runs; its last token may be a prefix."""
    text = _composed(word)
    runs = [*_RUN.finditer(text)]
    if not runs:
        return None
    apart = _RUN.sub(_apart, text)
    # A run at the end may go on in the text: its last character, alone, would end it there.
    goes_on = runs[-1].end() == len(text) and len(runs[-1][0]) > 1
    return apart[: -len(" x ")] if goes_on else apart


def _apart(run: re.Match[str]) -> str:
    return f" {' '.join(map(''.join, pairwise(run[0])))} {run[0][-1]} "


def _composed(text: str | None) -> str:
    if text is None or text.isascii():
        return ""
    return unicodedata.normalize("NFKC", text)
