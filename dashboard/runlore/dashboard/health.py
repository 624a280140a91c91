"""Health endpoints of the dashboard: /livez and /readyz."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from runlore.query import Client
from runlore.schemas.errors import RunloreError


def livez(request: Request) -> Response:
    """Answer 200: the process is alive."""
    return _answer({"live": True}, 200)


def readyz(client: Client) -> Callable[[Request], Response]:
    """Return an endpoint that answers 200 with position and lag, or 503 if there is no view to read."""

    def endpoint(request: Request) -> Response:
        try:
            position, lag = client.position, client.lag
        except RunloreError as error:
            return _answer({"ready": False, "error": type(error).__name__}, 503)
        return _answer({"ready": True, "position": position, "lag": lag}, 200)

    return endpoint


def _answer(value: dict[str, object], status: int) -> Response:
    return Response(msgspec.json.encode(value) + b"\n", status, media_type="application/json")
