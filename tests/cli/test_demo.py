from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest
from stack_process import RUNLORE, descendants, run_cli, until

from tests.patience import PATIENCE


@pytest.mark.timeout(5 * PATIENCE)
def test_the_demo_shows_what_it_logged_and_leaves_nothing(tmp_path: Path) -> None:
    done = run_cli("demo", seconds=4 * PATIENCE, TMPDIR=str(tmp_path))  # two pipelines of four programs, and a stack
    assert done.returncode == 0, done.stderr
    for said in (
        "load_data",
        "evaluate",
        "evaluation_metrics",
        "accuracy",
        "training.loss",
        "baseline",
        "deeper",
    ):
        assert said in done.stdout, said
    assert list(tmp_path.glob("runlore-demo-*")) == []
    assert left_of(tmp_path) == []


def test_an_interrupted_demo_leaves_nothing(tmp_path: Path) -> None:
    demo = subprocess.Popen(
        [*RUNLORE, "demo"], stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    assert demo.stderr
    while "run baseline" not in (line := demo.stderr.readline()):
        assert line, "the demo ended early"
    until(lambda: any(_runs(process, "load_data.py") for process in descendants(demo)))
    demo.send_signal(signal.SIGINT)
    demo.stderr.read()
    assert demo.wait(90) == 1
    assert left_of(tmp_path) == []
    assert list(tmp_path.glob("runlore-demo-*")) == []


def left_of(folder: Path) -> list[psutil.Process]:
    return [process for process in psutil.process_iter() if _is_of(process, folder)]


def _is_of(process: psutil.Process, folder: Path) -> bool:
    try:
        environ = process.environ()
    except (psutil.Error, OSError):
        return False
    return process.pid != os.getpid() and str(folder) in environ.get("RUNLORE_DATA_DIR", "") + environ.get("TMPDIR", "")


def _runs(process: psutil.Process, program: str) -> bool:
    try:
        return program in " ".join(process.cmdline())
    except psutil.Error:
        return False
