"""docs/live.md is true: its examples run as they stand, over one folder."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runlore.schemas import (
    ArtifactVersionConsumed,
    ArtifactVersionProduced,
    EntityRef,
    ModelStageChanged,
    ModelVersionCreated,
    RunFinished,
    RunStarted,
    StepStarted,
)
from runlore.store.folder import DataDir
from tests.events import LogBuilder
from tests.query.views import fold_live

PAGE = (Path(__file__).parent.parent / "docs" / "live.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


COMMANDS = [line for block in blocks("sh") for line in block.splitlines()]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    log = LogBuilder()
    log.add(RunStarted("nightly", "nightly-1"), run="r1")
    log.add(StepStarted(), run="r1", step="load")
    log.add(ArtifactVersionProduced(EntityRef("artifact", "rows")), run="r1", step="load")
    log.add(StepStarted(), run="r1", step="train")
    log.add(ArtifactVersionConsumed(EntityRef("artifact", "rows")), run="r1", step="train")
    log.add(ArtifactVersionProduced(EntityRef("artifact", "weights")), run="r1", step="train")
    log.add(ModelVersionCreated(EntityRef("model", "churn")), run="r1")
    log.log("artifact:rows", {"about": "customer orders of 2026"})
    log.log("model:churn", {"metrics": {"accuracy": 0.8}})
    log.log("model:churn", {"metrics": {"accuracy": 0.9}})
    log.add(ModelStageChanged(EntityRef("model", "churn"), "production"))
    log.add(RunFinished("completed"), run="r1")
    data = DataDir(tmp_path / "data")
    fold_live(data, log)
    view = log.fold_into(data.view(1), after=len(log.rows))
    view.sync_search(None)
    view.close()


def test_the_python_examples_run_and_print_what_the_page_is_about() -> None:
    printed, names = io.StringIO(), dict[str, Any]()
    with contextlib.redirect_stdout(printed):
        for block in blocks("python"):
            exec(block, names)
    text = printed.getvalue()
    assert "9 model:churn@1 0.8 was None\n10 model:churn@1 0.9 was 0.8\n" in text
    assert "'status'" in text
    assert "<upstream of model:churn@1: 6 nodes, 6 edges>" in text
    assert "step:r1/train consumed artifact:rows@1 5" in text
    assert "artifact:rows@1 about customer orders of 2026" in text
    assert names["place"][0] == 11


@pytest.mark.parametrize("line", [line for line in COMMANDS if "watch" not in line])
def test_the_commands_of_the_page_run(line: str) -> None:
    done = subprocess.run(command(line), capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 1


@pytest.mark.parametrize("line", [line for line in COMMANDS if "watch" in line])
def test_the_watches_of_the_page_print_and_end(line: str) -> None:
    process = subprocess.Popen(command(line), stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)
    assert process.returncode == 0


def command(line: str) -> list[str]:
    words = shlex.split(line)
    assert words[0] == "runlore"
    return [sys.executable, "-m", "runlore.cli", *words[1:]]
