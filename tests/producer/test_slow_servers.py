"""Flushing to a server that takes its time to accept a connection."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from log_tools import logged, make_stream, outbox_files, run_python, script, start_python
from open_servers import service_login

from runlore.cli.server import EmbeddedServer
from runlore.producer import FlushReport, Producer, drain
from runlore.schemas import EntityRef, MetadataLogged, Settings
from runlore.store.folder import DataDir
from runlore.store.private_files import read_struct
from runlore.store.records import Endpoint

LOG_SOME = """
from runlore.producer import log_metadata
for number in range(300):
    log_metadata({"n": number}, "model:churn")
"""


def fact(**metadata: object) -> MetadataLogged:
    return MetadataLogged((EntityRef("model", "churn"),), metadata)


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@contextlib.contextmanager
def slow_to_accept(data: DataDir, seconds: float) -> Iterator[str]:
    """The URL of a door to the folder's server that takes `seconds` to accept each connection."""
    endpoint = read_struct(data.endpoint, Endpoint)
    assert endpoint
    host, _, port = endpoint.url.rpartition("//")[2].rpartition(":")
    door = socket.create_server(("127.0.0.1", 0))

    def accept() -> None:
        with contextlib.suppress(OSError):  # closed: the test is over
            while True:
                client = door.accept()[0]
                threading.Thread(target=serve, args=(client,), daemon=True).start()

    def serve(client: socket.socket) -> None:
        time.sleep(seconds)
        try:
            server = socket.create_connection((host, int(port)))
        except OSError:
            return client.close()  # the server is not there, or no longer
        threading.Thread(target=_pump, args=(client, server), daemon=True).start()
        _pump(server, client)

    threading.Thread(target=accept, daemon=True).start()
    try:
        login = service_login(data)
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RUNLORE_INBOX_PREFIX", login["RUNLORE_INBOX_PREFIX"])
            yield login["RUNLORE_URL"].replace(f":{port}", f":{door.getsockname()[1]}")
    finally:
        door.close()


@pytest.fixture
def stream(server: EmbeddedServer, settings: Settings) -> Settings:
    make_stream(settings)
    return settings


def test_a_flush_lets_a_slow_connection_be_made(stream: Settings, data: DataDir) -> None:
    with slow_to_accept(data, 3) as url, Producer(url=url) as producer:
        producer.emit_nowait(fact(n=1))
        assert producer.flush(90) == (0, 0)
    assert logged(stream) == [1]


@pytest.mark.parametrize(("timeout", "seconds"), [("90", 3), ("", 1.5)])
def test_exit_lets_slow_connections_of_many_processes_be_made(
    timeout: str, seconds: float, stream: Settings, data: DataDir
) -> None:
    with slow_to_accept(data, seconds) as url, ThreadPoolExecutor() as pool:

        def one(_: int) -> str:
            return run_python(LOG_SOME, RUNLORE_URL=url, RUNLORE_FLUSH_TIMEOUT=timeout).stderr

        assert list(pool.map(one, range(3))) == [""] * 3
    assert sorted(logged(stream)) == sorted([*range(300)] * 3)


def test_a_timeout_that_someone_set_is_waited_for_while_the_server_is_away(
    server: EmbeddedServer, stream: Settings
) -> None:
    server.close()
    process = subprocess.Popen(script(LOG_SOME), env=None, stderr=subprocess.PIPE, text=True)
    process.communicate(timeout=90)  # without one it leaves at once, and its events wait
    assert len(outbox_files(stream)) == 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RUNLORE_FLUSH_TIMEOUT", "90")
        process = start_python(LOG_SOME)
    time.sleep(2)  # it has tried in vain by now, and waits
    assert process.poll() is None
    server.start()
    assert process.wait(90) == 0
    assert process.stdout
    process.stdout.close()
    assert set(range(300)) <= set(logged(stream))
    assert drain(stream, 90).unsent == 0  # what the first process left: a short one sends its own only
    assert sorted(logged(stream)) == sorted([*range(300)] * 2)


def test_a_timeout_set_to_nothing_leaves_at_once(stream: Settings, data: DataDir) -> None:
    with slow_to_accept(data, 30) as url:
        producer = Producer(url=url, flush_timeout=0.0)
        producer.emit_nowait(fact(n=1))
        assert producer.close() == FlushReport(1, 0)
    assert len(outbox_files(stream)) == 1


def test_closing_ends_a_connection_attempt_and_frees_the_outbox(stream: Settings, data: DataDir) -> None:
    with slow_to_accept(data, 30) as url:
        with Producer(url=url, flush_timeout=0.2) as producer:
            producer.emit_nowait(fact(n=1))
            assert producer.session
            relay = producer.session.relay
        assert relay
        assert not relay.alive
