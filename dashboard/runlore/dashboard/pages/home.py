"""The home page: what is running, and the most recent runs, models and events."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

from starlette.responses import Response

from runlore.dashboard.fields import fields_of
from runlore.dashboard.rendering import render
from runlore.dashboard.visit import Visit
from runlore.query import Entity
from runlore.query.activity import project_activity
from runlore.query.numbers import is_number
from runlore.store.cells import from_cell

RUNS, MODELS, EVENTS, RUNNING, HEADLINES = 8, 8, 12, 8, 3
_NUMBERS = ("float", "int", "decimal", "StorageSize")


class ModelCard(NamedTuple):
    """A model version with a few of its numbers."""

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
        follows="*",
    )


def with_fields(found: Iterable[Entity]) -> list[tuple[Entity, dict[str, Any]]]:
    """Return entities with their fields, read once each."""
    return [(entity, fields_of(entity)) for entity in found]


def _card(model: Entity) -> ModelCard:
    return ModelCard(model, model.fields, headlines(model))


def headlines(entity: Entity) -> list[tuple[str, Any]]:
    """Return a few numbers: metrics before others, each in the order of the log."""
    numbers = [
        (path, value)
        for path, (kind, cell) in entity.cells().items()
        if kind in _NUMBERS and is_number(value := from_cell(kind, cell))
    ]
    numbers.sort(key=lambda pair: "metric" not in pair[0].lower())
    return numbers[:HEADLINES]
