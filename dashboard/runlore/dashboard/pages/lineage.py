"""Lineage, drawn as a graph that one can walk."""

from __future__ import annotations

from starlette.responses import Response

from runlore.dashboard.graphs import DEPTH, graph_of
from runlore.dashboard.rendering import render
from runlore.dashboard.visit import Visit

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
        graph=graph_of(shown, depth),
        kind_shown=shown.kind,
        live=shown.reference,
    )
