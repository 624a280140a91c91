"""Connections that send nothing, too little or too late keep nobody from the page; more than there is room for are told so."""

from __future__ import annotations

import http.client
import socket
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import uvicorn

from runlore.dashboard import connections, create_app
from runlore.dashboard.connections import MAX_CONNECTIONS, BoundedProtocol
from runlore.dashboard.live import MAX_LISTENERS
from tests.dashboard.conftest import serve
from tests.dashboard.demo_log import write_demo
from tests.patience import PATIENCE, until
from tests.query.views import client_of

HALF = b"GET / HTTP/1.1\r\nHost: "


@pytest.fixture
def port(tmp_path: Path) -> Iterator[int]:
    """A page in this process, so that a test may change its limits; the sockets are real."""
    listening = socket.create_server(("127.0.0.1", 0))
    number = listening.getsockname()[1]
    app = create_app(client_of(tmp_path, write_demo), {f"127.0.0.1:{number}"}, "a token of some length")
    server = uvicorn.Server(uvicorn.Config(app, http=BoundedProtocol, ws="none", log_level="error"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    until(lambda: server.started)
    yield number
    server.should_exit = True
    thread.join(PATIENCE)
    listening.close()


def opened(port: int, stack: ExitStack, sent: bytes = HALF) -> socket.socket:
    connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), PATIENCE))
    connection.sendall(sent)
    return connection


def asked(port: int, path: str) -> http.client.HTTPResponse:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.request(
        "GET", path, headers={"Accept": "text/event-stream", "Authorization": "Bearer a token of some length"}
    )
    return connection.getresponse()


def test_an_ordinary_request_is_answered_whatever_number_of_others_is_half_open(tmp_path: Path) -> None:
    server = serve(tmp_path, write_demo)
    port = urlsplit(server.url).port
    assert port
    try:
        with ExitStack() as stack:
            for _ in range(MAX_CONNECTIONS + 100):
                opened(port, stack)
            assert asked(port, "/livez").status == 200
            assert asked(port, "/entity?ref=model:churn@1").status == 200
    finally:
        assert server.stop() == (0, "")


@pytest.mark.parametrize(
    "sent",
    [b"", HALF, b"POST /login HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nContent-Length: 90\r\n\r\ntoken=", b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\nGET"],
    ids=["nothing", "half a head", "half a body", "half of the second"],
)  # fmt: skip
def test_a_request_has_a_time_in_which_it_must_arrive(port: int, sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "REQUEST_SECONDS", 0.2)
    with ExitStack() as stack:
        connection = opened(port, stack, sent.replace(b"{port}", str(port).encode()))
        try:
            while connection.recv(4096):
                pass  # the answer to a first request
        except ConnectionResetError:
            pass
    assert asked(port, "/livez").status == 200


def test_a_connection_that_is_used_again_and_again_stays(port: int) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    connection.connect()
    used = connection.sock
    for _ in range(3):
        connection.request("GET", "/livez")
        assert connection.getresponse().read()
        assert connection.sock is used
    connection.close()


def test_who_finds_no_room_is_told_when_to_ask_again(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "MAX_CONNECTIONS", 3)
    listeners = [asked(port, "/live") for _ in range(3)]
    assert [answer.status for answer in listeners] == [200] * 3
    with ExitStack() as stack:
        refused = opened(port, stack)
        answer = refused.recv(4096).decode()
        assert answer.startswith("HTTP/1.1 503 ")
        assert "Retry-After: 5\r\n" in answer
    listeners[0].close()
    until(lambda: _answers(port))
    for answer in listeners[1:]:
        assert answer.readline()
        answer.close()


def _answers(port: int) -> bool:
    try:
        return asked(port, "/livez").status == 200
    except OSError:
        return False


def test_no_more_listeners_are_accepted_than_allowed_however_fast_they_come(port: int) -> None:
    more = 20
    with ThreadPoolExecutor(MAX_LISTENERS + more) as pool:
        answers = list(pool.map(lambda _: asked(port, "/live"), range(MAX_LISTENERS + more)))
    refused = [answer for answer in answers if answer.status == 503]
    assert len(refused) == more
    assert {answer.headers["Retry-After"] for answer in refused} == {"5"}
    for answer in answers:
        answer.close()
    until(lambda: asked(port, "/live").status == 200)
