"""A page that is told to stop stops: at once, with 0, and without a word, whoever is listening."""

from __future__ import annotations

import http.client
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from tests.dashboard.conftest import Server, serve
from tests.dashboard.demo_log import write_demo
from tests.query.views import client_of


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    server = serve(tmp_path, write_demo)
    yield server
    server.stop()


def listen(server: Server) -> http.client.HTTPResponse:
    """A browser's stream of news, after its first message."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=90)
    connection.request("GET", "/live", headers={"Accept": "text/event-stream"})
    answer = connection.getresponse()
    assert answer.status == 200
    while answer.readline().strip():
        pass  # up to the empty line behind the message
    return answer


def stopped(server: Server, number: int = signal.SIGTERM) -> tuple[int, str]:
    return server.stop(number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_without_visitors_it_ends_with_0_and_silently(server: Server, number: int) -> None:
    assert stopped(server, number) == (0, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_listeners_of_live_are_told_the_end(server: Server, number: int) -> None:
    listening = [listen(server) for _ in range(3)]
    assert stopped(server, number) == (0, "")
    for answer in listening:
        answer.read()  # raises IncompleteRead for a stream that was cut off


def test_a_listener_that_has_gone_is_no_matter(server: Server) -> None:
    listen(server).close()
    listening = listen(server)
    assert stopped(server) == (0, "")
    listening.read()


def test_the_command_says_that_it_stopped(tmp_path: Path) -> None:
    client_of(tmp_path, write_demo).close()
    command = [sys.executable, "-m", "runlore.cli", "dashboard", "--data-dir", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert "http://127.0.0.1:" in running.stdout.readline()
        running.send_signal(signal.SIGINT)
        _, notes = running.communicate(timeout=90)
    assert running.returncode == 0
    assert notes.splitlines()[-1] == "stopped"
