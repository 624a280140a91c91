from __future__ import annotations

import asyncio
import os
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit
from urllib.request import urlopen

import psutil
import pytest
from stack_process import RUNLORE, descendants, run_cli, running_up, until

from runlore.cli.server import EmbeddedServer
from runlore.cli.stack import readyz
from runlore.producer import outbox_status
from runlore.projector import ensure_stream
from runlore.schemas import Settings, read_settings
from runlore.store.folder import DataDir
from runlore.store.private_files import read_struct
from runlore.store.records import Endpoint, ProjectorStatus
from runlore.wire.connect import connect
from tests.open_servers import service_login
from tests.patience import PATIENCE


def make_stream(settings: Settings) -> None:
    async def nothing(*_: object) -> None: ...

    async def make() -> None:
        connection = await connect(settings, "test", nothing, nothing)
        await ensure_stream(connection, settings)
        await connection.close()

    asyncio.run(make())


@pytest.mark.parametrize("number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)])
def test_a_stopped_up_exits_with_0_and_leaves_no_process(tmp_path: Path, number: signal.Signals) -> None:
    with running_up(tmp_path / "data") as (up, announced):
        assert readyz(announced["http"])
        children = descendants(up)
        assert len(children) >= 2
        link = announced["dashboard"]
        assert run_cli("dashboard", "link", "--data-dir", str(tmp_path / "data")).stdout == f"{link}\n"
        visitor = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with visitor.open(link, timeout=PATIENCE) as page, urlopen(link.partition("?")[0], timeout=PATIENCE) as login:
            assert (urlsplit(page.url).path, urlsplit(login.url).path) == ("/", "/login")
        up.send_signal(number)
        assert up.wait(90) == 0
        assert not [child for child in children if child.is_running()]


def test_a_second_up_on_a_folder_says_who_holds_it(tmp_path: Path) -> None:
    with running_up(tmp_path / "data") as (up, _):
        second = run_cli("up", "--data-dir", str(tmp_path / "data"))
        assert second.returncode == 1
        assert f"`runlore up`, process {up.pid}" in second.stderr
        assert "Traceback" not in second.stderr
        assert up.poll() is None


def test_a_killed_child_comes_back(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "data")
    with running_up(data.root) as (_, _announced):
        server = read_struct(data.endpoint, Endpoint)
        projector = read_struct(data.status, ProjectorStatus)
        assert server is not None
        assert projector is not None
        psutil.Process(server.pid).kill()
        psutil.Process(projector.pid).kill()

        def revived() -> bool:
            now, status = read_struct(data.endpoint, Endpoint), read_struct(data.status, ProjectorStatus)
            if now is None or status is None or now.pid == server.pid or status.pid == projector.pid:
                return False
            return readyz(status.http)

        until(revived)
        assert run_cli("log", "model:churn", "accuracy=0.5", "--wait", "--data-dir", str(data.root)).returncode == 0


def test_no_child_outlives_a_killed_up(tmp_path: Path) -> None:
    with running_up(tmp_path / "data") as (up, _):
        children = descendants(up)
        up.kill()
        up.wait(90)
        until(lambda: not [child for child in children if child.is_running()])


def test_what_was_logged_before_up_arrives_with_it(tmp_path: Path) -> None:
    folder = str(tmp_path / "data")
    logged = run_cli("log", "dataset:sales", "rows=3", "--data-dir", folder)
    assert logged.returncode == 0
    assert "outbox" in logged.stderr
    event_id = logged.stdout.strip()
    with running_up(tmp_path / "data"):
        lines = until(lambda: run_cli("tail", "--no-follow", "--json", "--data-dir", folder).stdout)
        assert event_id in lines


def test_with_a_url_up_starts_no_server(tmp_path: Path) -> None:
    with (
        running_up(tmp_path / "server"),
        running_up(tmp_path / "data", **service_login(DataDir(tmp_path / "server"))) as (second, announced),
    ):
        assert readyz(announced["http"])
        assert not any("nats-server" in child.name() for child in descendants(second))


def test_up_makes_no_stream_beside_a_log_with_events_and_no_outbox_is_emptied(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "data")
    with running_up(data.root):
        assert run_cli("log", "model:churn", "accuracy=1", "--wait", "--data-dir", str(data.root)).returncode == 0
        until(lambda: (status := read_struct(data.status, ProjectorStatus)) and status.archived)
    assert run_cli("log", "model:churn", "accuracy=2", "--data-dir", str(data.root)).returncode == 0
    for path in sorted((data.nats / "store").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    again = run_cli("up", "--data-dir", str(data.root))
    assert again.returncode == 4
    assert "the stream is gone" in again.stderr
    assert "Traceback" not in again.stderr
    assert sum(one.waiting for one in outbox_status(data)) == 1
    # Nor does a server that runs alone get anything: its stream is another one.
    server = EmbeddedServer(data)
    server.start()
    try:
        make_stream(read_settings(data_dir=data.root))
        drained = run_cli("outbox", "drain", "--timeout", "3", "--data-dir", str(data.root))
        assert drained.returncode == 1
        assert "recreated" in drained.stderr
        assert sum(one.waiting for one in outbox_status(data)) == 1
    finally:
        server.close()


def test_a_wrong_setting_is_wrong_usage(tmp_path: Path) -> None:
    failed = run_cli("up", "--data-dir", str(tmp_path), RUNLORE_HTTP_PORT="many")
    assert failed.returncode == 2
    assert "RUNLORE_HTTP_PORT" in failed.stderr


def test_up_waits_for_a_server_of_yours_and_can_be_stopped_meanwhile(tmp_path: Path) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"nats://me:secret@127.0.0.1:{nobody.getsockname()[1]}"
        up = subprocess.Popen(
            [*RUNLORE, "up", "--data-dir", str(tmp_path)],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "RUNLORE_URL": url},
        )
        assert up.stderr
        while "waiting for the projector" not in (line := up.stderr.readline()):
            assert line, "up ended early"
        assert "secret" not in line
        up.send_signal(signal.SIGTERM)
        up.stderr.read()
        assert up.wait(90) == 0
