"""Acknowledgements that never arrive: what is sent again after the server's window is stored twice, and folded once."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from pathlib import Path

import pytest

from runlore.producer import Producer
from runlore.query import Client
from runlore.schemas import EntityRef, MetadataLogged, Settings, read_settings
from runlore.store.folder import DataDir
from tests.open_servers import open_server, until
from tests.oracle import assert_nothing_lost_or_doubled, read_stream
from tests.projector.service_tools import running

WINDOW_NS = 100_000_000
"""The shortest window that the server takes."""


class Door:
    """A way to a server on which its answers can get lost; what is sent to it always arrives."""

    def __init__(self, settings: Settings) -> None:
        host, _, port = str(settings.url).rpartition("/")[2].rpartition(":")
        self._address, self._door = (host, int(port)), socket.create_server(("127.0.0.1", 0))
        self.loses_answers = False
        self.lost = 0
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self._door.getsockname()[1]}"

    def close(self) -> None:
        self._door.close()

    def break_off(self) -> None:
        """End every connection, and lose no more answers on the next ones."""
        self.loses_answers = False
        while self._open:
            with contextlib.suppress(OSError):
                self._open.pop().shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):  # closed: the test is over
            while True:
                client = self._door.accept()[0]
                server = socket.create_connection(self._address)
                self._open += [client, server]
                for source, sink, answers in ((client, server, False), (server, client, True)):
                    threading.Thread(target=self._pump, args=(source, sink, answers), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket, answers: bool) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                if answers and self.loses_answers:
                    self.lost += len(data)
                else:
                    sink.sendall(data)
        for end in (source, sink):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


def test_acks_lost_past_the_dedupe_window_double_nothing_in_the_history(
    tmp_path: Path, data: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runlore.wire.stream.DUPLICATE_WINDOW_NS", WINDOW_NS)
    returned: list[str] = []

    def log(producer: Producer, numbers: range) -> None:
        for number in numbers:
            fact = MetadataLogged((EntityRef("model", "churn"),), {"n": number})
            returned.append(producer.emit_nowait(fact).event_id)

    with (
        open_server(tmp_path) as (_, settings),
        contextlib.closing(Door(settings)) as door,
        running(settings) as service,
    ):
        until(lambda: service.state.connected)
        with Producer(read_settings(url=door.url)) as producer:
            log(producer, range(20))
            assert producer.flush(90).unsent == 0
            for start in (20, 70):
                door.loses_answers = True
                stored = len(read_stream(settings))
                log(producer, range(start, start + 50))
                until(lambda stored=stored: len(read_stream(settings)) > stored)
                time.sleep(5 * WINDOW_NS / 1e9)  # the server forgets the IDs
                door.break_off()
                assert producer.flush(90).unsent == 0
        assert door.lost
        service.folded(read_stream(settings)[-1].position)
        assert service.state.duplicates == len(read_stream(settings)) - 120 >= 2
        assert_nothing_lost_or_doubled(settings, returned)
    with Client(data.root) as client:
        assert [entry.value for entry in client.get_model_version("churn").history("n")] == list(range(120))
