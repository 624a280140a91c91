"""Metrics of the dashboard in Prometheus' text format: requests, time, position, lag, memory."""

from __future__ import annotations

import resource
import sys
import threading
from collections import Counter, defaultdict

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from runlore.query import Client
from runlore.schemas.errors import RunloreError

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class Metrics:
    """Counters by route; names of entities never become labels."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._lock = threading.Lock()
        self._requests: Counter[tuple[str, int]] = Counter()
        self._seconds: defaultdict[str, float] = defaultdict(float)

    def count(self, path: str, status: int, seconds: float) -> None:
        """Count one response."""
        with self._lock:
            self._requests[path, status] += 1
            self._seconds[path] += seconds

    def answer(self, request: Request) -> Response:
        """Serve /metrics."""
        return PlainTextResponse(self.text(), media_type=CONTENT_TYPE)

    def text(self) -> str:
        """Return all metrics."""
        with self._lock:
            requests, seconds = dict(self._requests), dict(self._seconds)
        lines = [
            *_head("requests_total", "counter", "Responses by page and status."),
            *(f'runlore_dashboard_requests_total{{page="{path}",status="{status}"}} {count}'
              for (path, status), count in sorted(requests.items())),
            *_head("request_seconds_total", "counter", "Seconds spent on responses by page."),
            *(f'runlore_dashboard_request_seconds_total{{page="{path}"}} {total:.6f}'
              for path, total in sorted(seconds.items())),
            *_head("memory_peak_bytes", "gauge", "Peak resident memory."),
            f"runlore_dashboard_memory_peak_bytes {peak_memory()}",
            *self._log(),
        ]  # fmt: skip
        return "\n".join(lines) + "\n"

    def _log(self) -> list[str]:
        try:
            position, lag = self._client.position, self._client.lag
        except RunloreError:
            return []  # no view yet: /readyz reports it
        lines = [*_head("position", "gauge", "Last event that can be read."),
                 f"runlore_dashboard_position {position}"]  # fmt: skip
        if lag is not None:
            lines += [*_head("lag", "gauge", "Events in the stream that cannot be read yet."),
                      f"runlore_dashboard_lag {lag}"]  # fmt: skip
        return lines


def peak_memory() -> int:
    """Return the peak resident memory of this process, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def _head(name: str, kind: str, help: str) -> list[str]:
    return [f"# HELP runlore_dashboard_{name} {help}", f"# TYPE runlore_dashboard_{name} {kind}"]
