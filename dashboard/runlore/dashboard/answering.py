"""Answers to requests: one read transaction with a time limit, and errors as readable pages."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from runlore.dashboard.links import address
from runlore.dashboard.metrics import Metrics
from runlore.dashboard.rendering import render, render_bare
from runlore.dashboard.visit import MissingEntityError, NotYetCreatedError, Visit
from runlore.query import Client
from runlore.query.page.counts import KindCounts
from runlore.query.view.budget import PAGE_BYTES, decoding_at_most
from runlore.schemas.errors import (
    AmbiguousError,
    ArgumentError,
    LatestOnlyError,
    MomentError,
    NotFoundError,
    QueryTimeoutError,
    RunloreError,
)
from runlore.schemas.visible import visible, visible_json

_log = logging.getLogger(__name__)

ANSWER_SECONDS = 5.0
"""Time limit for the reads of one answer: a reader that stays open keeps the view's write-ahead log from shrinking."""

STATUSES: tuple[tuple[type[RunloreError], int], ...] = (
    (AmbiguousError, 400),
    (NotFoundError, 404),
    (QueryTimeoutError, 503),
    (ArgumentError, 400),
    (LatestOnlyError, 400),
)

UNEXPECTED = "This page could not be shown. The reason is in the log of the dashboard."


class JSONBody(Response):
    """A JSON response, encoded by msgspec."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return visible_json(msgspec.json.encode(content))


def answer_with(
    client: Client,
    build: Callable[[Visit], Response],
    seconds: float,
    metrics: Metrics,
    path: str,
    counts: KindCounts,
    exact: bool = False,
) -> Callable[[Request], Response]:
    """Return an endpoint (run in a thread) that builds its answer inside one read, or an error page.

    `exact`: the answer has every value whole; else the largest are named by their size.
    """

    def endpoint(request: Request) -> Response:
        started = time.perf_counter()
        try:
            budget = nullcontext() if exact else decoding_at_most(PAGE_BYTES, seconds / 2)
            with budget, client.scope.reader.within(seconds):
                answer = _answer(Visit(request, client, counts), build)
        except RunloreError as error:
            answer = _failure(request, error)
        except Exception:  # noqa: BLE001 -- the visitor gets a page, the operator the traceback
            _log.exception("no answer to %s", request.url.path)
            answer = _failure(request, RunloreError(UNEXPECTED))
        taken = time.perf_counter() - started
        metrics.count(path, answer.status_code, taken)
        answer.headers["Server-Timing"] = f"app;dur={taken * 1e3:.1f}"
        return answer

    return endpoint


def _answer(visit: Visit, build: Callable[[Visit], Response]) -> Response:
    try:
        return build(visit)
    except QueryTimeoutError:
        raise  # no time is left for the frame around the error
    except RunloreError as error:
        return _failure(visit.request, error, visit)


def _failure(request: Request, error: RunloreError, visit: Visit | None = None) -> Response:
    """Return an error as JSON or as a page; with a visit, in a frame that keeps its moment."""
    status = status_of(error)
    near = error.near if isinstance(error, MissingEntityError) else []
    if request.url.path.startswith("/api/"):
        return JSONBody({"error": str(error), "near": near}, status)
    params = request.query_params
    instead = None
    if isinstance(error, MomentError) and params.get("clock") == "occurred":
        instead = address(request.url.path, {}, {name: params.getlist(name) for name in params if name != "clock"})
    later = error if isinstance(error, NotYetCreatedError) else None
    return error_page(status, str(error), near, instead, visit, later)


def status_of(error: RunloreError) -> int:
    """Return the HTTP status of an error; a wrong value (a filter, an address) is the client's error."""
    known = next((status for kind, status in STATUSES if isinstance(error, kind)), None)
    return known or (400 if isinstance(error, ValueError) else 500)


TITLES = {400: "Invalid request", 404: "Not found", 405: "Method not allowed", 503: "Timed out"}


def error_page(
    status: int,
    text: str,
    near: Sequence[str] = (),
    instead: str | None = None,
    visit: Visit | None = None,
    later: NotYetCreatedError | None = None,
) -> Response:
    """Return an error page with suggestions.

    `near`: references with similar names. `instead`: the address of the same page by the log's clock. `later`: for an
    entity that was created after the moment of the visit.
    """
    values = {
        "code": status,
        "title": "Did not exist yet" if later else TITLES.get(status, "Internal error"),
        "text": visible(text, lines=True),
        "near": near,
        "instead": instead,
        "later": later,
    }
    if visit is None:
        return render_bare("error.html", status, outer="bare.html", **values)
    return render(visit, "error.html", status, outer="base.html", follows=None, **values)
