"""What commands that read say where an answer is empty, two options go together, or stdout is full."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from runlore.cli.app import app
from runlore.schemas import RunDescribed, RunStarted
from runlore.schemas.values import pack_metadata
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


def test_the_environment_of_a_run_is_a_line(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        log.add(RunStarted("p", "n"), "r1")
        packages = {f"package-{number}": "1.0" for number in range(300)}
        found = {"python": "3.11.7", "git": {"commit": "1a2b3c4d5e6f", "dirty": True}, "packages": packages}
        log.add(RunDescribed(pack_metadata(found)), "r1")
        log.add(RunDescribed({"odd": 1}), "r2")

    client_of(tmp_path, write).close()
    shown = run(tmp_path, "show", "run:r1").stdout
    assert "1a2b3c4d, changed since · Python 3.11.7 · 300 packages" in shown
    assert "package-7" not in shown
    assert "environment\todd" in run(tmp_path, "show", "run:r2").stdout
    assert "package-7" in run(tmp_path, "show", "run:r1", "--json").stdout


def test_everything_is_exported_and_the_next_part_goes_on(folder: Path) -> None:
    whole = run(folder, "export")
    assert [json.loads(line)["position"] for line in whole.stdout.splitlines()] == [1, 2]
    assert "complete to event 2: go on with --after 2" in whole.stderr
    assert [json.loads(line)["path"] for line in run(folder, "export", "--after", "1").stdout.splitlines()] == ["rows"]
    assert run(folder, "export", "--after", "2").exit_code == 0
    only = run(folder, "export", "--kind", "model").stdout.splitlines()
    assert [json.loads(line)["reference"] for line in only] == ["model:m@1"]
    for words, problem in {
        ("--format", "parquet"): "needs --out FILE",
        ("--format", "mlbom"): "is about one version",
    }.items():
        refused = run(folder, "export", *words)
        assert (refused.exit_code, problem in refused.stderr) == (2, True)
    without = run(folder, "export", "--format", "parquet", "--out", str(folder / "all.parquet"))
    if importlib.util.find_spec("pyarrow") is None:
        assert (without.exit_code, "needs pyarrow" in without.stderr) == (1, True)
        assert not list(folder.glob("*.parquet"))
