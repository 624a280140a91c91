"""Full-text search in names, keys and values."""

from __future__ import annotations

from starlette.responses import Response

from runlore.dashboard.rendering import render
from runlore.dashboard.visit import Visit

LIMIT = 50


def search(visit: Visit) -> Response:
    """`/search?q=…&kind=…`: always in the latest state."""
    text = visit.text("q")[:1000]
    hits = visit.now.search(text, visit.text("kind") or None, LIMIT) if text else None
    return render(
        visit,
        "search.html",
        text=text,
        hits=hits,
        kinds=visit.kinds,
    )
