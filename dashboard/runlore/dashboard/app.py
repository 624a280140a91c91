"""The ASGI application: all routes and error pages."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from runlore.dashboard import bundle, health, pages, rpc
from runlore.dashboard.answering import ANSWER_SECONDS, JSONBody, answer_with, error_page
from runlore.dashboard.api import API
from runlore.dashboard.doorkeeper import Doorkeeper
from runlore.dashboard.live import LiveFeed
from runlore.dashboard.metrics import Metrics
from runlore.dashboard.safety import Guard
from runlore.dashboard.tiles import TILES
from runlore.dashboard.visit import Visit
from runlore.query import Client
from runlore.query.page.counts import KindCounts

HERE = Path(__file__).parent
THREADS = 6
"""Maximum number of concurrent reads; each thread has its own connection and cache."""


def create_app(
    client: Client, hosts: Iterable[str], token: str | None = None, seconds: float = ANSWER_SECONDS
) -> Starlette:
    """Return the dashboard over a client's view.

    `hosts`: allowed Host headers, with the port. `token`: shows all projects, None for open access; the tokens for some
    projects are those of the data folder.
    `seconds`: time limit for the reads of one answer.
    """
    reader = client.scope.reader
    door = None if token is None else Doorkeeper(token, reader.data)
    metrics = Metrics(client)
    live, counts = LiveFeed(client), KindCounts()

    def page(path: str, build: Callable[[Visit], Response]) -> BaseRoute:
        return Route(
            path, answer_with(client, build, seconds, metrics, path, counts, path not in pages.SHOWN), methods=["GET"]
        )

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        anyio.to_thread.current_default_thread_limiter().total_tokens = THREADS
        async with anyio.create_task_group() as beside, live.running():
            beside.start_soon(anyio.to_thread.run_sync, bundle.prepare)
            yield

    async def not_found(request: Request, error: Exception) -> Response:
        status = error.status_code if isinstance(error, HTTPException) else 500
        if request.url.path.startswith("/api/"):
            return JSONBody({"error": "no such endpoint; /api/v1/openapi.json lists all of them"}, status)
        return error_page(status, "This page does not exist.")

    app = Starlette(
        routes=[
            *(page(path, build) for path, build in pages.PAGES.items()),
            *(page(path, build) for path, build in API.items()),
            *(page(path, build) for path, build in TILES.items()),
            Route("/live", live.answer, methods=["GET"]),
            Route(rpc.ROUTE, rpc.Rpc(reader, metrics).answer, methods=["POST"]),
            Route("/livez", health.livez),
            Route("/readyz", health.readyz(client)),
            Route("/metrics", metrics.answer),
            Route(bundle.bundle_address(), bundle.answer, methods=["GET"]),
            Mount("/static", StaticFiles(directory=HERE / "static")),
        ],
        middleware=[
            Middleware(Guard, hosts=frozenset(host.lower() for host in hosts), door=door, name=str(reader.path)),
            Middleware(GZipMiddleware, minimum_size=2000, compresslevel=1),
        ],
        exception_handlers={404: not_found, 405: not_found},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # it redirects to full URLs: behind a proxy, to the wrong scheme and port
    return app
