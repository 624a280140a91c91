"""What a run was started in is recorded beside it: by real processes, in real repositories."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from log_tools import read_outbox

from runlore.producer import configure, run_context
from runlore.producer.runs.describe import environment_of, installed, wait_for_descriptions
from runlore.producer.runs.repository import Repository, repository_of
from runlore.schemas import RunDescribed, RunFinished, RunStarted, Settings

git = pytest.mark.skipif(shutil.which("git") is None, reason="git is not installed")

PROGRAM = """
import sys
from runlore.producer import run_context
with run_context("nightly"):
    pass
"""


def _git(folder: Path, *words: str) -> None:
    who = ["-c", "user.name=ada", "-c", "user.email=ada@example.org", "-c", "commit.gpgsign=false"]
    subprocess.run(["git", "-C", folder, *who, *words], check=True, capture_output=True)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "code here"
    (folder / "deep").mkdir(parents=True)
    (folder / "train.py").write_text(PROGRAM)
    _git(tmp_path, "init", "-q", "-b", "trunk", str(folder))
    _git(folder, "remote", "add", "origin", "https://ada:hunter2secret@example.org/code.git")
    _git(folder, "add", "train.py")
    _git(folder, "commit", "-q", "-m", "first")
    return folder


def described(settings: Settings) -> list[dict[str, Any]]:
    return [event.fact.environment for event in read_outbox(settings) if isinstance(event.fact, RunDescribed)]


@git
def test_a_short_process_records_commit_command_python_and_packages(repository: Path, settings: Settings) -> None:
    (repository / "train.py").write_text(PROGRAM + "# changed\n")
    command = [
        sys.executable,
        "../train.py",
        "--lr",
        "0.1",
        "--api-key",
        "sk-verysecret1234567890",
        "--token=abcd1234efgh5678",
    ]
    environ = {**os.environ, "RUNLORE_MODE": "offline", "RUNLORE_DESCRIBE": "on"}
    subprocess.run(command, cwd=repository / "deep", env=environ, check=True)
    kinds = [type(event.fact) for event in read_outbox(settings)]
    assert kinds.count(RunStarted) == kinds.count(RunDescribed) == kinds.count(RunFinished) == 1
    assert kinds[0] is RunStarted
    (found,) = described(settings)
    head = subprocess.run(["git", "-C", repository, "rev-parse", "HEAD"], check=True, capture_output=True, text=True)
    assert (found["git"]["commit"], found["git"]["dirty"], found["git"]["branch"]) == (
        head.stdout.strip(),
        True,
        "trunk",
    )
    assert "hunter2secret" not in repr(found)
    assert "../train.py --lr 0.1" in found["command"]
    assert "verysecret" not in found["command"]
    assert "abcd1234efgh5678" not in found["command"]
    assert found["python"] == sys.version.split()[0]
    assert found["packages"]["msgspec"] == installed()["msgspec"]


@git
def test_a_repository_is_as_git_says(repository: Path, tmp_path: Path) -> None:
    found = repository_of(str(repository / "deep"))
    assert found is not None
    assert (found.dirty, found.branch) == (False, "trunk")
    assert repository_of(str(repository / "deep")) is found  # a search that starts many runs asks once
    _git(repository, "checkout", "-q", "--detach")
    detached = repository_of(str(repository))
    assert isinstance(detached, Repository)
    assert detached.branch is None
    (tmp_path / "plain").mkdir()
    assert repository_of(str(tmp_path / "plain")) is None
    _git(tmp_path, "init", "-q", str(tmp_path / "empty"))
    assert repository_of(str(tmp_path / "empty")) is None  # no commit yet


def test_without_git_the_rest_is_recorded(repository: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(repository))
    (repository / "elsewhere").mkdir()
    found = environment_of(str(repository / "elsewhere"), ["python", "train.py"])
    assert "git" not in found
    assert found["command"] == "python train.py"


def test_packages_are_what_is_installed() -> None:
    from importlib.metadata import version

    assert {name: version(name) for name in ("msgspec", "nats-py", "sqlite-utils")}.items() <= installed().items()


@pytest.mark.parametrize("describe", ["on", "off"])
def test_each_run_that_starts_here_is_described_if_the_setting_says_so(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, describe: str
) -> None:
    monkeypatch.setenv("RUNLORE_DESCRIBE", describe)
    configure(mode="offline")
    for number in range(3):
        with run_context("p", f"r{number}"):
            pass
    with run_context(run_id="r0"):  # joined: the process that started it describes it
        pass
    wait_for_descriptions()
    runs = [event.run for event in read_outbox(settings) if isinstance(event.fact, RunDescribed)]
    assert runs == (["r0", "r1", "r2"] if describe == "on" else [])
    configure(mode="disabled")


def test_an_importer_gives_the_environment_or_none(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNLORE_DESCRIBE", "on")
    configure(mode="offline")
    with run_context("p", environment={"git": {"commit": "1a2b"}, "password": "hunter2"}):
        pass
    with run_context("p", environment={}):
        pass
    wait_for_descriptions()
    assert described(settings) == [{"git": {"commit": "1a2b"}, "password": "[redacted]"}]
    configure(mode="disabled")
