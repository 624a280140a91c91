"""The OpenAPI 3.1 description of the API, generated from the types of its answers."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import msgspec

from runlore.dashboard.api.parameters import PARAMETERS, schema_of
from runlore.dashboard.api.routes import Endpoint
from runlore.dashboard.api.types import Problem

TEMPLATE = "#/components/schemas/{name}"


def describe(endpoints: Sequence[Endpoint], prefix: str) -> dict[str, Any]:
    """Return the OpenAPI document."""
    schemas, components = msgspec.json.schema_components(
        [*(endpoint.type for endpoint in endpoints), Problem], ref_template=TEMPLATE
    )
    answers = {endpoint.path: schema for endpoint, schema in zip(endpoints, schemas, strict=False)}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Runlore",
            "version": version("runlore"),
            "description": "The data of the dashboard for other programs. Read-only.",
        },
        "paths": {
            prefix + endpoint.path: {"get": _operation(endpoint, answers[endpoint.path], schemas[-1])}
            for endpoint in endpoints
        },
        "components": {"schemas": components},
    }


def _operation(endpoint: Endpoint, answer: dict[str, Any], problem: dict[str, Any]) -> dict[str, Any]:
    return {
        "operationId": endpoint.path.strip("/"),
        "summary": inspect.getdoc(endpoint.read) or "",
        "parameters": [_parameter(name, endpoint) for name in endpoint.known],
        "responses": {
            "200": _response("The answer.", answer),
            **{
                status: _response(text, problem)
                for status, text in (
                    ("400", "A parameter is invalid."),
                    ("404", "It does not exist, or did not at that moment."),
                    ("500", "The log or the view is damaged, or the server has a fault."),
                    ("503", "The time limit was exceeded."),
                )
            },
            "default": _refusal(),
        },
    }


def _parameter(name: str, endpoint: Endpoint) -> dict[str, Any]:
    required = name in endpoint.required
    schema = schema_of(name, endpoint.bounds)
    made = {"name": name, "in": "query", "required": required, "description": PARAMETERS[name].text, "schema": schema}
    if required:
        schema["minLength"] = 1
    else:
        made["allowEmptyValue"] = True  # as if it were not given: forms send all of their fields
    if endpoint.repeats(name):
        made["schema"] = {"type": "array", "items": schema, "minItems": int(required)}
    return made


def _response(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text, "content": {"application/json": {"schema": schema}}}


def _refusal() -> dict[str, Any]:
    text = "Refused before it is read: a token is missing, or a host name or a number of requests is not allowed."
    return {"description": text, "content": {"text/plain": {"schema": {"type": "string"}}}}
