"""The JSON API: the read models of the pages for other programs, and an OpenAPI description."""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response

from runlore.dashboard.answering import JSONBody
from runlore.dashboard.api.description import describe
from runlore.dashboard.api.routes import ENDPOINTS
from runlore.dashboard.visit import Visit

PREFIX = "/api/v1"


def _openapi(visit: Visit) -> Response:
    return JSONBody(describe(ENDPOINTS, PREFIX))


API: dict[str, Callable[[Visit], Response]] = {
    **{PREFIX + endpoint.path: endpoint.answer for endpoint in ENDPOINTS},
    f"{PREFIX}/openapi.json": _openapi,
}
