"""Health endpoints: /livez, /readyz and /metrics over plain HTTP."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, NamedTuple

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST

from runlore.projector.bounded_server import BoundedServer
from runlore.projector.metrics import ProjectorMetrics
from runlore.projector.state import ServiceState
from runlore.schemas.errors import SettingsError
from runlore.schemas.settings import Settings

REQUEST_SECONDS = 10.0


class Answer(NamedTuple):
    """Response of one endpoint."""

    good: bool
    body: bytes
    content_type: str = "application/json"


class Health:
    """The HTTP server of one projector. Raises SettingsError if its address cannot be used."""

    def __init__(self, settings: Settings, state: ServiceState, metrics: ProjectorMetrics) -> None:
        self._state, self._max_lag = state, settings.max_lag
        routes: dict[str, Callable[[], Answer]] = {
            "/livez": self._live,
            "/readyz": self._ready,
            "/metrics": lambda: Answer(True, metrics.text(), CONTENT_TYPE_LATEST),
        }
        try:
            self._server = _server_class(settings.http_host)((settings.http_host, settings.http_port), _handler(routes))
        except (OSError, OverflowError) as error:
            raise SettingsError(
                f"RUNLORE_HTTP_HOST={settings.http_host}, RUNLORE_HTTP_PORT={settings.http_port}: {error}; "
                "port 0 takes any free one"
            ) from error
        host = f"[{settings.http_host}]" if ":" in settings.http_host else settings.http_host
        self.url = f"http://{host}:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._serve, name="runlore-health", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self) -> None:
        """Stop answering, and give the port back."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _serve(self) -> None:
        self._server.serve_forever(poll_interval=0.1)

    def _live(self) -> Answer:
        live = self._state.live()
        return Answer(live, _json({"live": live}))

    def _ready(self) -> Answer:
        state = self._state
        lag = state.lag
        checks = {
            "connected": state.connected,
            "fold_running": state.fold_running,
            "storing": state.storing,
            "lag_ok": lag <= self._max_lag,
        }
        ready = all(checks.values())
        numbers = {
            "lag": lag,
            "max_lag": self._max_lag,
            "stream_last": state.stream_last,
            "archived": state.archived,
            "folded": state.folded,
            "quarantined": state.quarantined,
            "conflicts": state.conflicts,
        }
        problems = state.all_problems
        return Answer(ready, _json({"ready": ready, **checks, **numbers, "problems": problems}))


def _json(value: dict[str, Any]) -> bytes:
    return msgspec.json.encode(value) + b"\n"


def _server_class(host: str) -> type[BoundedServer]:
    class Server(BoundedServer):
        address_family = socket.AF_INET6 if ":" in host else socket.AF_INET

    return Server


def _handler(routes: dict[str, Callable[[], Answer]]) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = REQUEST_SECONDS

        def do_GET(self) -> None:
            route = routes.get(self.path.partition("?")[0])
            if route is None:
                self.send_error(HTTPStatus.NOT_FOUND, explain=f"there are: {', '.join(routes)}")
                return
            answer = route()
            self.send_response(HTTPStatus.OK if answer.good else HTTPStatus.SERVICE_UNAVAILABLE)
            self.send_header("Content-Type", answer.content_type)
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            self.wfile.write(answer.body)

        def log_message(self, format: str, *args: Any) -> None:
            pass  # probes every few seconds are no news

    return Handler
