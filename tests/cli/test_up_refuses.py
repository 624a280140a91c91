"""`runlore up` that cannot go on: it ends with one sentence and an exit code, instead of trying for ever."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from stack_process import run_cli, until

from runlore.cli import children
from runlore.cli.children import Child, Reviver
from runlore.cli.side_child import SideChild
from runlore.cli.stack import EmbeddedStack
from runlore.projector.archiving.archive import Archive
from runlore.schemas import RunloreError, read_settings
from runlore.store.folder import DataDir
from runlore.store.sqlite import sqlite


@pytest.mark.parametrize(
    ("option", "variable"),
    [("--http-port", "RUNLORE_HTTP_PORT"), ("--dashboard-port", "RUNLORE_DASHBOARD_PORT")],
)
def test_up_says_which_port_is_taken_and_ends(tmp_path: Path, option: str, variable: str) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        done = run_cli("up", "--data-dir", str(tmp_path / "data"), option, port)
    assert done.returncode == 2
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert len(errors) == 1
    assert f"{variable}={port}" in errors[0]
    assert "in use" in errors[0]
    assert "Traceback" not in done.stderr


def test_up_leaves_a_log_of_a_newer_version_alone_and_ends(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "data")
    Archive.open(data.log, "an-epoch").close()
    with sqlite.connect(data.log) as log:
        log.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('runlore_log', 'log_v9', '')"
        )
    done = run_cli("up", "--data-dir", str(data.root))
    assert done.returncode == 2
    assert "written by a newer version of Runlore (log_v9)" in done.stderr
    assert "Traceback" not in done.stderr


def test_up_with_a_key_that_is_none_says_what_to_do_and_ends(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "data")
    data.root.mkdir()
    data.checkpoint_key.write_text("garbage")
    done = run_cli("up", "--data-dir", str(data.root))
    assert done.returncode == 2
    assert "checkpoint.key holds no key that can be read: restore it from a backup" in done.stderr
    assert "Traceback" not in done.stderr


def dead(code: int) -> Child:
    return Child(["sh", "-c", f"exit {code}"], os.environ)


@pytest.fixture
def stack(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> EmbeddedStack:
    """One whose children are to be replaced; it is not entered."""
    monkeypatch.setattr(children, "MOST_STARTS", 2)
    return EmbeddedStack(read_settings(data_dir=tmp_path, url="nats://127.0.0.1:1"), output.append, with_dashboard=True)


output: list[str] = []


def test_a_projector_that_keeps_ending_ends_up(stack: EmbeddedStack) -> None:
    stack._projector = dead(1)
    stack._dashboard = None
    stack._projector.start()
    with pytest.raises(RunloreError, match="the projector stopped: exit code 1"):
        until(lambda: stack.supervise())


def test_a_page_that_keeps_ending_is_given_up_and_the_rest_goes_on(stack: EmbeddedStack) -> None:
    output.clear()
    stack._dashboard = page = SideChild("the page", dead(1))
    page.start()

    def given_up() -> bool:
        stack.supervise()
        return page.given_up

    until(given_up)
    stack.supervise()
    assert sum("is given up" in text for text in output) == 1


def test_a_page_whose_settings_are_wrong_ends_up(stack: EmbeddedStack) -> None:
    stack._dashboard = SideChild("the page", dead(2))
    stack._dashboard.start()
    with pytest.raises(RunloreError, match="the page cannot start"):
        until(lambda: stack.supervise())


def test_what_was_steady_is_started_again_however_often(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(children.time, "monotonic", lambda: now[0])
    reviver = Reviver()
    for _ in range(3 * children.MOST_STARTS):
        now[0] += children.STEADY_SECONDS + 11
        assert not reviver.hopeless
        assert reviver.due()
    for _ in range(children.MOST_STARTS):
        now[0] += 0.01
        while not reviver.hopeless and not reviver.due():
            now[0] += 0.5
            reviver._started = now[0]  # it ran, and died at once
    assert reviver.hopeless
