"""/livez and /readyz of the page."""

from __future__ import annotations

from collections.abc import Callable

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from runlore.query import Client
from runlore.schemas.errors import RunloreError


def livez(request: Request) -> Response:
    """The process answers."""
    return _answer({"live": True}, 200)


def readyz(client: Client) -> Callable[[Request], Response]:
    """An endpoint that says whether there is a view to read, and how far it is."""

    def endpoint(request: Request) -> Response:
        try:
            position, lag = client.position, client.lag
        except RunloreError as error:
            return _answer({"ready": False, "error": type(error).__name__}, 503)
        return _answer({"ready": True, "position": position, "lag": lag}, 200)

    return endpoint


def _answer(value: dict[str, object], status: int) -> Response:
    return Response(msgspec.json.encode(value) + b"\n", status, media_type="application/json")
