"""The API's description as OpenAPI 3.1, made from the types of its answers."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import msgspec

from runlore.dashboard.api.routes import Endpoint
from runlore.dashboard.api.types import Problem

TEMPLATE = "#/components/schemas/{name}"
EVERYWHERE = ("as_of", "clock", "project")
REPEATED = ("ref", "at")
"""Parameters that a comparison takes several times."""
PARAMETERS: dict[str, tuple[str, str]] = {
    "as_of": ("string", "A position, an ISO 8601 time, or a phrase such as `2h ago`: the answer as it was known then."),
    "clock": (
        "string",
        "`occurred`: a time in `as_of` (and `at`) goes by the producers' clocks; what goes by positions answers 400.",
    ),
    "project": ("string", "Another project than the page's own."),
    "ref": ("string", "An entity, such as `model:churn@3`, `run:<id>` or `step:<run id>/train`."),
    "path": ("string", "A key, group or leaf, such as `metrics.accuracy`."),
    "kind": ("string", "A kind of entities, such as `model`; without, all kinds."),
    "where": ("string", "A filter, such as `metrics.accuracy > 0.9 and not retired`."),
    "order_by": ("string", "A key or field; without, the newest come first."),
    "desc": ("string", "`1`: the largest first."),
    "limit": ("integer", "How many at most."),
    "points": (
        "integer",
        "The whole past with about so many numbers, for a chart: all, or the first, the last, and the least and the"
        " largest of each stretch. What is no number stands between them as null. `limit` means nothing then.",
    ),
    "after": ("string", "The `cursor` of the page before."),
    "before": ("integer", "A position; only what came before it."),
    "at": ("string", "Moments at which to compare, positions or times."),
    "best": ("string", "`max` or `min`: which numbers of a row are marked as best."),
    "since": ("string", "A position or time to compare with; without, the beginning of the log."),
    "other": ("string", "Another entity to compare with."),
    "all": ("string", "`1`: equal leaves as well."),
    "direction": ("string", "`upstream` or `downstream`."),
    "depth": ("integer", "How many links far."),
    "position": ("integer", "A position of the log."),
    "q": ("string", "Words; the last one may be the beginning of one."),
}


def describe(endpoints: Sequence[Endpoint], prefix: str) -> dict[str, Any]:
    """The whole document."""
    schemas, components = msgspec.json.schema_components(
        [*(endpoint.type for endpoint in endpoints), Problem], ref_template=TEMPLATE
    )
    answers = dict(zip(endpoints, schemas, strict=False))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Runlore",
            "version": version("runlore"),
            "description": "What the pages show, for other programs. Read-only.",
        },
        "paths": {
            prefix + endpoint.path: {"get": _operation(endpoint, answers[endpoint], schemas[-1])}
            for endpoint in endpoints
        },
        "components": {"schemas": components},
    }


def _operation(endpoint: Endpoint, answer: dict[str, Any], problem: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": endpoint.path.strip("/"),
        "summary": inspect.getdoc(endpoint.read) or "",
        "parameters": [_parameter(name, endpoint) for name in (*endpoint.params, *EVERYWHERE)],
        "responses": {
            "200": _response("The answer.", answer),
            **{
                status: _response(text, problem)
                for status, text in (
                    ("400", "A parameter makes no sense."),
                    ("404", "There is no such thing, at that moment."),
                    ("503", "It took too long."),
                )
            },
        },
    }


def _parameter(name: str, endpoint: Endpoint) -> dict[str, Any]:
    kind, text = PARAMETERS[name]
    schema: dict[str, Any] = {"type": kind}
    if endpoint.path == "/compare" and name in REPEATED:
        schema = {"type": "array", "items": schema}
    return {"name": name, "in": "query", "required": name in endpoint.required, "description": text, "schema": schema}


def _response(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}
