"""The OpenAPI 3.1 description of the API, generated from the types of its answers."""

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
"""Parameters that a comparison accepts several times."""
PARAMETERS: dict[str, tuple[str, str]] = {
    "as_of": (
        "string",
        "The moment of the answer: an event number, an ISO 8601 time, or a phrase such as `2h ago`.",
    ),
    "clock": (
        "string",
        "`occurred`: times in `as_of` and `at` are by the producers' clocks; endpoints of events answer 400.",
    ),
    "project": ("string", "A project; by default that of the server."),
    "ref": ("string", "An entity, such as `model:churn@3`, `run:<id>` or `step:<run id>/train`."),
    "path": ("string", "A key or group, such as `metrics.accuracy`."),
    "kind": ("string", "A kind of entity, such as `model`; by default all kinds."),
    "where": ("string", "A filter, such as `metrics.accuracy > 0.9 and not retired`."),
    "order_by": ("string", "A key or field; by default the newest come first."),
    "desc": ("string", "`1`: descending order."),
    "limit": ("integer", "Maximum number of results."),
    "points": (
        "integer",
        "The whole history, downsampled to about this many numbers for a chart: the first, the last, and the minimum"
        " and maximum of each interval. Entries that are not numbers are null. `limit` is ignored.",
    ),
    "after": ("string", "The `cursor` of the previous page."),
    "before": ("integer", "An event number: only earlier results."),
    "at": ("string", "Moments to compare at, event numbers or times."),
    "best": ("string", "`max` or `min`: which numbers of a row are best."),
    "since": ("string", "An event number or time to compare with; by default the beginning of the log."),
    "other": ("string", "Another entity to compare with."),
    "all": ("string", "`1`: include equal values."),
    "direction": ("string", "`upstream` or `downstream`."),
    "depth": ("integer", "Maximum distance from the entity, in links."),
    "position": ("integer", "An event number."),
    "q": ("string", "Words; the last one can be a prefix."),
}


def describe(endpoints: Sequence[Endpoint], prefix: str) -> dict[str, Any]:
    """Return the OpenAPI document."""
    schemas, components = msgspec.json.schema_components(
        [*(endpoint.type for endpoint in endpoints), Problem], ref_template=TEMPLATE
    )
    answers = dict(zip(endpoints, schemas, strict=False))
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Runlore",
            "version": version("runlore"),
            "description": "The data of the dashboard for other programs. Read-only.",
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
                    ("400", "A parameter is invalid."),
                    ("404", "It does not exist, or did not at that moment."),
                    ("503", "The time limit was exceeded."),
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
