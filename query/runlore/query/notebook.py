"""Tables for notebooks. What people logged is only ever text in them."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import Any

from runlore.store.cells import readable

_LEFT = " style='text-align:left'"


def html_table(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str | None = None) -> str:
    """A table as HTML; the first cell of each row names it."""
    head = "".join(f"<th>{html.escape(column)}</th>" for column in columns)
    body = "".join(
        "<tr>" + "".join(_cell(cell, "th" if place == 0 else "td") for place, cell in enumerate(row)) + "</tr>"
        for row in rows
    )
    caption = "" if title is None else f"<b>{html.escape(title)}</b>"
    return f"{caption}<table><tr>{head}</tr>{body}</table>"


def _cell(cell: Any, tag: str) -> str:
    text = "" if cell is None else html.escape(readable(cell))
    return f"<{tag}{_LEFT if tag == 'th' else ''}>{text}</{tag}>"
