"""From a request to an answer: one read transaction with a time limit, and errors as readable pages."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from runlore.dashboard.links import address
from runlore.dashboard.metrics import Metrics
from runlore.dashboard.rendering import render, render_bare
from runlore.dashboard.texts import visible
from runlore.dashboard.visit import MissingEntityError, NotThereYetError, Visit
from runlore.query import Client
from runlore.query.page.counts import KindCounts
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
            with client.scope.reader.within(seconds):
                answer = _answer(Visit(request, client, counts), build)
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


def _answer(visit: Visit, build: Callable[[Visit], Response]) -> Response:
    try:
        return build(visit)
    except QueryTimeoutError:
        raise  # there is no time left for the frame around it
    except RunloreError as error:
        return _failure(visit.request, error, visit)


def _failure(request: Request, error: RunloreError, visit: Visit | None = None) -> Response:
    """What is wrong; with a visit, in the frame that keeps its moment."""
    status = status_of(error)
    near = error.near if isinstance(error, MissingEntityError) else []
    if request.url.path.startswith("/api/"):
        return JSONBody({"error": str(error), "near": near}, status)
    asked = request.query_params
    instead = None
    if isinstance(error, MomentError) and asked.get("clock") == "occurred":
        instead = address(request.url.path, {}, {name: asked.getlist(name) for name in asked if name != "clock"})
    return error_page(status, str(error), near, instead, visit, error if isinstance(error, NotThereYetError) else None)


def status_of(error: RunloreError) -> int:
    """The HTTP status that stands for an error; errors of values (a filter, an address) are the asker's."""
    known = next((status for kind, status in STATUSES if isinstance(error, kind)), None)
    return known or (400 if isinstance(error, ValueError) else 500)


TITLES = {400: "That cannot be answered", 404: "Not found", 405: "Not allowed", 503: "That took too long"}


def error_page(
    status: int,
    text: str,
    near: Sequence[str] = (),
    instead: str | None = None,
    visit: Visit | None = None,
    later: NotThereYetError | None = None,
) -> Response:
    """A page that says what is wrong, and what may have been meant.

    `instead`: the same by the log's clock. `later`: what came only after the moment.
    """
    values = {
        "code": status,
        "title": "Not there yet" if later else TITLES.get(status, "Something is wrong"),
        "text": visible(text, lines=True),
        "near": near,
        "instead": instead,
        "later": later,
    }
    if visit is None:
        return render_bare("error.html", status, outer="bare.html", **values)
    return render(visit, "error.html", status, outer="base.html", live=None, **values)
