"""The last step of every page: no control, bidi or other invisible character of a metadata text is in it.

Templates escape markup. What a text may still do is to hide, turn or break what is around it, and any text can come to
any place of a page; so this looks at the whole page instead of trusting each template.
"""

from __future__ import annotations

import re

from runlore.schemas.visible import HIDDEN_IN_LINES, escape_of, visible

_TAG = re.compile(r"<[^>]*>")
_ATTRIBUTE = re.compile(r'([\w-]+)="([^"]*)"')
_SHOWN = frozenset({"title", "aria-label", "placeholder", "alt"})
"""Attributes that people read. The others carry exact texts for the next request."""


def visible_html(page: str) -> str:
    """Return a page whose texts are escaped for people, and whose other attributes hold the same text in references."""
    if HIDDEN_IN_LINES.search(page) is None:
        return page
    made: list[str] = []
    end = 0
    for tag in _TAG.finditer(page):
        made += (visible(page[end : tag.start()], lines=True), _ATTRIBUTE.sub(_attribute, tag[0]))
        end = tag.end()
    made.append(visible(page[end:], lines=True))
    return "".join(made)


def _attribute(found: re.Match[str]) -> str:
    name, text = found[1], found[2]
    if name in _SHOWN:
        return f'{name}="{visible(text, lines=True)}"'
    return f'{name}="{HIDDEN_IN_LINES.sub(_reference, text)}"'


def _reference(found: re.Match[str]) -> str:
    code = ord(found[0])
    # HTML reads references to NUL, C1 and surrogates as other characters.
    return escape_of(found[0]) if code == 0 or 0x7F <= code < 0xA0 or 0xD800 <= code < 0xE000 else f"&#x{code:x};"
