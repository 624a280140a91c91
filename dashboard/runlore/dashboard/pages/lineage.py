"""The lineage graph of an entity; each box leads to the graph around it."""

from __future__ import annotations

from starlette.responses import Response

from runlore.dashboard.graphs import DEPTH, graph_of
from runlore.dashboard.rendering import render
from runlore.dashboard.visit import Visit

DEPTHS = (1, 2, 3, 5, 10)
"""Depths that the page offers."""
MAX_DEPTH = 20


def lineage(visit: Visit) -> Response:
    """`/lineage?ref=…&depth=…`"""
    shown = visit.entity()
    depth = visit.number("depth", DEPTH, MAX_DEPTH)
    return render(
        visit,
        "lineage.html",
        entity=shown,
        depth=depth,
        depths=DEPTHS,
        graph=graph_of(shown, depth),
        kind_shown=shown.kind,
        follows=shown.reference,
    )
