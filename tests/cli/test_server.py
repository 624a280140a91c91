"""The embedded server: folders of any name, and one server on a store whatever happens to its `up`."""

from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from stack_process import run_cli, running_up, until

from runlore.cli.server import EmbeddedServer
from runlore.query import Client
from runlore.schemas import FolderBusyError, read_settings
from runlore.store.folder import DataDir
from runlore.store.private_files import read_struct
from runlore.store.records import Endpoint
from tests.oracle import assert_nothing_lost_or_doubled

ODD_NAMES = [
    "my project", "a,b", "a;b", "a'b", 'a"b', "a}b", "a{b", "$HOME", "#x", "a\\b", "a\nb", "a\tb", "ä ü", "5mb", "true",
    os.fsdecode(b"\xff\xfe"),
]  # fmt: skip


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_server_starts_in_a_folder_of_any_name_and_stores_there(tmp_path: Path, name: str) -> None:
    data = DataDir(tmp_path / name / "data")
    server = EmbeddedServer(data)
    try:
        server.start()
    finally:
        server.close()
    assert (data.nats / "store" / "jetstream").is_dir()
    assert sorted(path.name for path in tmp_path.iterdir()) == [name]


def test_the_whole_stack_works_in_a_folder_with_every_odd_character(tmp_path: Path) -> None:
    folder = tmp_path / os.fsdecode(b"my, 'odd' \"project\"; $HOME #1 }{ \\ \n \xff.")
    with running_up(folder):
        logged = run_cli("log", "model:churn", "accuracy=0.5", "--wait", "--data-dir", str(folder))
        assert logged.returncode == 0, logged.stderr
        with Client(folder) as client:
            assert client.get_model_version("churn").metadata["accuracy"] == 0.5
        doctor = run_cli("doctor", "--data-dir", str(folder))
        assert doctor.returncode == 0, doctor.stdout + doctor.stderr


@pytest.mark.slow
def test_a_server_that_hangs_keeps_its_store_when_up_is_killed(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "data")
    folder = str(data.root)
    with running_up(data.root) as (up, _):
        assert run_cli("log", "model:churn", "accuracy=0.5", "--wait", "--data-dir", folder).returncode == 0
        endpoint = read_struct(data.endpoint, Endpoint)
        assert endpoint is not None
        server = psutil.Process(endpoint.pid)
        server.suspend()
        up.kill()
        up.wait(90)
    try:
        second = run_cli("up", "--data-dir", folder)
        assert second.returncode == 1
        assert f"the embedded NATS server, process {server.pid}, since 20" in second.stderr
        assert "kill -9" in second.stderr
        assert "Traceback" not in second.stderr
    finally:
        server.resume()
    until(lambda: not server.is_running())  # it was told to end when `up` died, and hears it now
    with running_up(data.root):
        assert run_cli("log", "model:churn", "accuracy=0.6", "--wait", "--data-dir", folder).returncode == 0
        assert run_cli("audit", "verify", "--full", "--data-dir", folder).returncode == 0
        with Client(data.root) as client:
            assert [entry.value for entry in client.get_model_version("churn").history("accuracy")] == [0.5, 0.6]
        assert_nothing_lost_or_doubled(read_settings(data_dir=data.root))


def test_a_killed_server_gives_its_store_back_at_once(data: DataDir) -> None:
    first = EmbeddedServer(data)
    first.start()
    assert first.pid
    os.kill(first.pid, signal.SIGKILL)
    first.close()
    second = EmbeddedServer(data)
    second.start()
    second.close()


def test_a_server_that_hangs_is_killed_when_its_up_stops(data: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runlore.cli.nats_process.STOP_SECONDS", 0.2)
    monkeypatch.setattr("runlore.cli.server.FOLLOW_SECONDS", 0.2)
    server = EmbeddedServer(data)
    server.start()
    assert server.pid
    process = psutil.Process(server.pid)
    process.suspend()
    with pytest.raises(FolderBusyError, match=f"process {process.pid}, since"):
        EmbeddedServer(data).start()
    server.close()
    assert not process.is_running()
    EmbeddedServer(data).close()


def test_a_lock_that_a_child_inherited_outlives_its_parent(data: DataDir) -> None:
    from runlore.store.lock import FolderLock

    lock = FolderLock(data.root / "x.lock", "a test")
    lock.acquire()
    child = subprocess.Popen(["sleep", "60"], pass_fds=(lock.descriptor,))
    lock.name_holder(child.pid)
    lock.release()
    other = FolderLock(data.root / "x.lock", "another test")
    assert not other.try_acquire()
    assert f"a test, process {child.pid}, since " in other.holder()
    child.kill()
    child.wait()
    other.acquire(30)
    other.release()
