"""What commands that read say where an answer is empty, two options go together, or stdout is full."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from runlore.cli.app import app
from tests.events import LogBuilder
from tests.query.views import client_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    def write(log: LogBuilder) -> None:
        log.log("model:m@1", {"loss": 0.5})
        log.log("artifact:a@1", {"rows": 1})

    client_of(tmp_path, write).close()
    return tmp_path


def run(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--data-dir", str(folder)])


@pytest.mark.parametrize("command", ["find", "list"])
def test_an_unknown_kind_is_told(folder: Path, command: str) -> None:
    result = run(folder, command, "modle")
    assert result.exit_code == 0
    assert result.stderr == "no entity of kind modle; did you mean 'model'?\n"
    assert run(folder, command, "xyz").stderr == "no entity of kind xyz; there are: artifact, model\n"
    assert run(folder, command, "model").stderr == ""


def test_nothing_that_fits_is_no_unknown_kind(folder: Path) -> None:
    assert run(folder, "find", "model", "loss > 1").stderr == ""
    assert run(folder, "find", "any", "loss > 1").stderr == ""
    assert run(folder, "list", "model", "--name", "x").stderr == ""


@pytest.mark.parametrize("command", ["find", "list"])
def test_the_producers_clocks_need_a_moment(folder: Path, command: str) -> None:
    result = run(folder, command, "model", "--as-of-clock", "occurred")
    assert (result.exit_code, result.stdout) == (2, "")


def test_upstream_and_downstream_together_are_both(folder: Path) -> None:
    both = run(folder, "lineage", "model:m@1", "--both").stdout
    assert run(folder, "lineage", "model:m@1", "--downstream", "--upstream").stdout == both
    assert "# upstream" in both
    assert "# downstream" in both
    assert "#" not in run(folder, "lineage", "model:m@1").stdout


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a device of Linux")
@pytest.mark.parametrize("words", [("list",), ("list", "model", "--json")])
def test_a_full_disk_is_one_sentence(folder: Path, words: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "runlore.cli", *words, "--data-dir", str(folder)]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, env=os.environ, check=False)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "No space left on device" in done.stderr
