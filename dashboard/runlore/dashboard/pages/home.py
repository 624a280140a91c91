"""The first page: what is happening now, and what there is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from starlette.responses import Response

from runlore.dashboard.rendering import render
from runlore.dashboard.visit import Visit
from runlore.query import Entity
from runlore.query.activity import project_activity
from runlore.query.numbers import is_number
from runlore.store.cells import from_cell

RUNS, MODELS, EVENTS, RUNNING, HEADLINES = 8, 8, 12, 8, 3
_NUMBERS = ("float", "int", "decimal", "StorageSize")


class Card(NamedTuple):
    """A model version with the numbers that say most about it."""

    entity: Entity
    fields: dict[str, Any]
    headlines: list[tuple[str, Any]]


def home(visit: Visit) -> Response:
    """`/`"""
    client = visit.client
    running = [*client.find("run", "status = 'running'", limit=RUNNING)]
    steps = [*client.find("step", "status = 'running'", limit=RUNNING)]
    return render(
        visit,
        "home.html",
        kinds=visit.kinds,
        running=with_fields([*running, *steps]),
        runs=with_fields(client.find("run", limit=RUNS)),
        models=[_card(model) for model in client.find("model", limit=MODELS)],
        activity=project_activity(client.scope, EVENTS),
        live="*",
    )


def with_fields(found: Iterable[Entity]) -> list[tuple[Entity, dict[str, Any]]]:
    """Entities with what Runlore knows of them, read once each."""
    return [(entity, entity.fields) for entity in found]


def _card(model: Entity) -> Card:
    return Card(model, model.fields, headlines(model))


def headlines(entity: Entity) -> list[tuple[str, Any]]:
    """A few numbers: those called like metrics before others, each in the order of the log."""
    numbers = [
        (path, value)
        for path, (kind, cell) in entity.cells().items()
        if kind in _NUMBERS and is_number(value := from_cell(kind, cell))
    ]
    numbers.sort(key=lambda pair: "metric" not in pair[0].lower())
    return numbers[:HEADLINES]
