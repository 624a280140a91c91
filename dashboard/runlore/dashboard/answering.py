"""From a request to an answer: one read transaction with a time limit, and errors as readable pages."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from runlore.dashboard.links import address
from runlore.dashboard.metrics import Metrics
from runlore.dashboard.rendering import NAVIGATION, render_bare
from runlore.dashboard.texts import visible
from runlore.dashboard.visit import MissingEntityError, Visit
from runlore.query import Client
from runlore.query.counts import KindCounts
from runlore.schemas.errors import (
    AmbiguousError,
    InvalidReferenceError,
    MomentError,
    NotFoundError,
    QueryTimeoutError,
    RunloreError,
)

_log = logging.getLogger(__name__)

ANSWER_SECONDS = 5.0
"""How long one answer may read: no visitor holds a reader open, which would keep the view's log from shrinking."""

STATUSES: tuple[tuple[type[RunloreError], int], ...] = (
    (AmbiguousError, 400),
    (NotFoundError, 404),
    (QueryTimeoutError, 503),
    (InvalidReferenceError, 400),
    (MomentError, 400),
)


class JSONBody(Response):
    """A value as JSON, by msgspec."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return msgspec.json.encode(content)


def answer_with(
    client: Client,
    build: Callable[[Visit], Response],
    seconds: float,
    metrics: Metrics,
    path: str,
    counts: KindCounts,
) -> Callable[[Request], Response]:
    """An endpoint (run in a thread) that answers inside one read, or says what is wrong."""

    def endpoint(request: Request) -> Response:
        started = time.perf_counter()
        try:
            with client.reader.within(seconds):
                answer = build(Visit(request, client, counts))
        except RunloreError as error:
            answer = _failure(request, error)
        except Exception:  # noqa: BLE001 -- whatever it was: the visitor gets a page, the operator the traceback
            _log.exception("no answer to %s", request.url.path)
            answer = _failure(request, RunloreError("This could not be shown: the log of the dashboard says why."))
        taken = time.perf_counter() - started
        metrics.count(path, answer.status_code, taken)
        answer.headers["Server-Timing"] = f"app;dur={taken * 1e3:.1f}"
        return answer

    return endpoint


def _failure(request: Request, error: RunloreError) -> Response:
    status = status_of(error)
    near = error.near if isinstance(error, MissingEntityError) else []
    if request.url.path.startswith("/api/"):
        return JSONBody({"error": str(error), "near": near}, status)
    asked = request.query_params
    instead = None
    if isinstance(error, MomentError) and asked.get("clock") == "occurred":
        instead = address(request.url.path, {}, {name: asked.getlist(name) for name in asked if name != "clock"})
    return error_page(status, str(error), near, asked.get("as_of", ""), asked.get("clock", ""), instead)


def status_of(error: RunloreError) -> int:
    """The HTTP status that stands for an error; errors of values (a filter, an address) are the asker's."""
    known = next((status for kind, status in STATUSES if isinstance(error, kind)), None)
    return known or (400 if isinstance(error, ValueError) else 500)


TITLES = {400: "That cannot be answered", 404: "Not found", 405: "Not allowed", 503: "That took too long"}


def error_page(
    status: int, text: str, near: list[str], as_of: str = "", clock: str = "", instead: str | None = None
) -> Response:
    """A page that says what is wrong, and what may have been meant; `instead`: the same by the log's clock."""
    return render_bare(
        "error.html",
        status,
        status=status,
        navigation=NAVIGATION,
        title=TITLES.get(status, "Something is wrong"),
        text=visible(text, lines=True),
        near=near,
        as_of=as_of,
        clock=clock,
        instead=instead,
    )
