"""`runlore up` answers readers on other machines: its query service is there without another command."""

from __future__ import annotations

from pathlib import Path

import psutil
import pytest
from stack_process import descendants, run_cli, running_up, until

from runlore.cli.children import Child
from runlore.cli.side_child import SideChild
from runlore.cli.stack import EmbeddedStack
from runlore.query import Client
from runlore.schemas import read_settings
from tests.cli.test_up_refuses import dead


def service_of(up: psutil.Popen) -> psutil.Process | None:
    found = [child for child in descendants(up) if "runlore.query.remote" in child.cmdline()]
    return found[0] if found else None


def test_a_reader_needs_up_only_and_a_killed_service_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "data"
    with running_up(folder, "--dashboard-port", "0") as (up, announced):
        assert run_cli("log", "model:churn", "accuracy=0.5", "--wait", "--data-dir", str(folder)).returncode == 0
        monkeypatch.setenv("RUNLORE_DATA_DIR", str(folder))  # whose server.json has the login
        with Client(announced["url"]) as client:
            assert until(lambda: service_of(up))
            assert client.get("model:churn").metadata == {"accuracy": 0.5}
            service = service_of(up)
            assert service
            service.kill()
            assert client.get("model:churn").metadata == {"accuracy": 0.5}
            assert service_of(up) not in (None, service)
    assert "the query service ended with -9; starting it again" in (tmp_path / "up.err").read_text()


@pytest.mark.parametrize(("code", "told"), [(2, "is given up; all else goes on"), (1, "starting it again")])
def test_a_service_that_ends_is_reported_and_all_else_goes_on(tmp_path: Path, code: int, told: str) -> None:
    notes: list[str] = []
    stack = EmbeddedStack(read_settings(data_dir=tmp_path, url="nats://127.0.0.1:1"), notes.append)
    stack._queries = SideChild("the query service", dead(code))
    stack._queries.start()

    def reported() -> bool:
        stack.supervise()
        return bool(notes)

    until(reported)
    [note] = notes
    assert told in note


def test_a_side_child_is_not_started_twice() -> None:
    child = Child(["sleep", "60"], {"PATH": "/bin:/usr/bin"})
    side = SideChild("it", child)
    side.start()
    first = side.pid
    side.start()
    assert side.pid == first
    side.stop(5)
