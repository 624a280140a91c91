"""A NATS server that is too old: every program says so at once, and asks it for nothing.

Nobody can install such a server beside the one of the tests, so this one only introduces itself as one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socketserver
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runlore.producer import Producer
from runlore.schemas import EntityRef, MetadataLogged, RunloreError, read_settings
from runlore.wire.server_version import parse_version, require_version
from tests.cli.stack_process import RUNLORE, run_cli
from tests.patience import PATIENCE, until

INFO = b'INFO {"server_id":"x","version":"2.10.29","proto":1,"headers":true,"max_payload":1048576,"jetstream":true}\r\n'
SAID = "the NATS server has version 2.10.29, and Runlore needs 2.14 or newer"


class OldServer(socketserver.ThreadingTCPServer):
    """Introduces itself, and remembers every byte that it is told. It would answer a PING."""

    daemon_threads = True

    def __init__(self) -> None:
        self.heard: list[bytes] = []
        super().__init__(("127.0.0.1", 0), _Visit)

    @property
    def url(self) -> str:
        return f"nats://127.0.0.1:{self.server_address[1]}"


class _Visit(socketserver.BaseRequestHandler):
    server: OldServer

    def handle(self) -> None:
        with contextlib.suppress(OSError):
            self.request.sendall(INFO)
            while data := self.request.recv(4096):
                self.server.heard.append(data)
                if b"PING" in data:
                    self.request.sendall(b"PONG\r\n")


@pytest.fixture
def old_server() -> Iterator[OldServer]:
    with OldServer() as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield server
        server.shutdown()


def test_every_program_names_the_version_and_sends_nothing(
    old_server: OldServer, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    variables = {"RUNLORE_URL": old_server.url, "RUNLORE_DATA_DIR": str(tmp_path / "data")}
    for command in ("projector", "up"):
        assert SAID in said_by(command, tmp_path, variables), command
    doctor = run_cli("doctor", **variables)
    assert (doctor.returncode, SAID in doctor.stdout) == (1, True)
    (tmp_path / "data" / "projection" / "log.db").touch()
    restore = run_cli("stream", "restore", **variables)
    assert (restore.returncode, SAID in restore.stderr) == (1, True)
    with Producer(read_settings(url=old_server.url, data_dir=tmp_path / "steps", flush_timeout=0.0)) as producer:
        producer.emit_nowait(MetadataLogged((EntityRef("model", "churn"),), {"n": 1}))
        until(lambda: SAID in caplog.text)
    assert old_server.heard == []


def said_by(command: str, folder: Path, variables: dict[str, str]) -> str:
    """What a service says on stderr until it has said it."""
    path = folder / f"{command}.err"
    with path.open("wb") as errors:
        process = subprocess.Popen([*RUNLORE, command], stderr=errors, env={**os.environ, **variables})
    try:
        until(lambda: SAID in path.read_text())
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(PATIENCE)
    return path.read_text()


def test_an_old_program_is_not_started(tmp_path: Path) -> None:
    program = tmp_path / "nats-server"
    program.write_text("#!/bin/sh\necho nats-server: v2.10.29\n")
    program.chmod(0o700)
    up = run_cli("up", RUNLORE_NATS_SERVER=str(program), RUNLORE_DATA_DIR=str(tmp_path / "data"))
    assert (up.returncode, "has version 2.10.29, and Runlore needs 2.14 or newer" in up.stderr) == (2, True), up.stderr
    assert not (tmp_path / "data" / "nats" / "store").exists()


def test_versions_are_compared_as_numbers() -> None:
    assert parse_version("nats-server: v2.15.1") == (2, 15, 1)
    assert parse_version("2.9.0") < parse_version("2.14.0-RC.1")
    for accepted in ("2.14.0", "2.14.0-RC.1", "2.100.3", "3.0.0", ""):
        require_version(accepted)
    for refused in ("2.13.9", "2.9.25", "1.4.1"):
        with pytest.raises(RunloreError, match=r"needs 2\.14 or newer"):
            require_version(refused)
