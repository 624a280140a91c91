"""The HTTP interface of a witness: two calls, in threads, and nothing to read."""

from __future__ import annotations

import re
import socket
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from runlore.projector.audit.witness import MAX_BODY, Witness, WitnessAnswer
from runlore.projector.bounded_server import BoundedServer
from runlore.projector.logs import get_log

SILENT_SECONDS = 30.0
"""A connection on which nothing comes for this long is closed."""


_LENGTH = re.compile("[0-9]{1,9}")


class WitnessServer(BoundedServer):
    """Serves one witness. `serve_forever` until `shutdown`."""

    def __init__(self, witness: Witness, host: str, port: int) -> None:
        """Raises OSError when the address cannot be used."""
        self.witness = witness
        if ":" in host:
            self.address_family = socket.AF_INET6
        super().__init__((host, port), _Handler)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "runlore-witness", ""
    timeout = SILENT_SECONDS
    server: WitnessServer  # pyright: ignore[reportIncompatibleVariableOverride] -- ours alone makes it

    def do_POST(self) -> None:
        call = self.path.rpartition("/")[2]
        length = self.headers.get("Content-Length", "")
        if call not in ("add-checkpoint", "add-statement"):
            self._answer(WitnessAnswer(HTTPStatus.NOT_FOUND, "POST to add-checkpoint\n"), close=True)
        elif not _LENGTH.fullmatch(length) or int(length) > MAX_BODY:
            self._answer(WitnessAnswer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, "the body is too long\n"), close=True)
        else:
            body = self.rfile.read(int(length))
            if len(body) < int(length):
                self.close_connection = True  # it ended before its request did
                return
            witness = self.server.witness
            answer = witness.add_checkpoint(body) if call == "add-checkpoint" else witness.add_statement(body)
            get_log().info(call, status=int(answer.status), answer=answer.body.strip()[:120])
            self._answer(answer)

    def _answer(self, answer: WitnessAnswer, close: bool = False) -> None:
        body = answer.body.encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(body)))
        if close:  # what follows on this connection was not read
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing: each call is logged with its result."""
