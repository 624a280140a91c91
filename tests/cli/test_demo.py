"""`runlore demo` end to end: real training in real processes, something to look at, nothing left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import urllib.request
from pathlib import Path

import psutil
import pytest
from stack_process import RUNLORE, descendants, until

from runlore.cli.commands.demo import TO_TRY

REPORTED = (
    "load_data",
    "evaluate",
    "evaluation_metrics",
    "accuracy",
    "training.loss",
    "baseline",
    "deeper",
)


@pytest.mark.timeout(600)
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_the_demo_reports_and_serves_what_it_logged_until_told_to_stop_and_keeps_it(tmp_path: Path) -> None:
    with (tmp_path / "notes").open("w") as notes:
        demo = subprocess.Popen(
            [*RUNLORE, "demo"],
            stdout=subprocess.PIPE,
            stderr=notes,
            text=True,
            env={**os.environ, "TMPDIR": str(tmp_path)},
        )
    assert demo.stdout
    printed = ""
    while "Ctrl-C" not in (line := demo.stdout.readline()):
        assert line, (tmp_path / "notes").read_text()
        printed += line
    (folder,) = tmp_path.glob("runlore-demo-*")
    assert [word for word in REPORTED if word not in printed] == []
    page = printed.split("Open the page:")[1].split()[0]
    visitor = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())  # the link signs in
    with visitor.open(page, timeout=90) as answer:
        assert b"digits_classifier" in answer.read()
    assert f"export RUNLORE_DATA_DIR={folder}" in printed
    for command in TO_TRY:
        assert f"  {command}\n" in printed
    tried = " && ".join(TO_TRY).replace("runlore", " ".join(RUNLORE))
    done = subprocess.run(
        tried, shell=True, capture_output=True, text=True, env={**os.environ, "RUNLORE_DATA_DIR": str(folder)}
    )
    assert done.returncode == 0, done.stderr
    demo.send_signal(signal.SIGINT)
    printed = demo.stdout.read()
    assert demo.wait(120) == 0
    assert f"runlore up --data-dir {folder}" in printed
    assert left_of(tmp_path) == []
    assert (folder / "projection" / "log.db").is_file()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_demo_for_scripts_reports_stops_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [*RUNLORE, "demo", "--once"], capture_output=True, text=True, env={**os.environ, "TMPDIR": str(tmp_path)}
    )
    assert done.returncode == 0, done.stderr
    assert [word for word in REPORTED if word not in done.stdout] == []
    assert list(tmp_path.glob("runlore-demo-*")) == []
    assert left_of(tmp_path) == []


def test_make_demo_is_for_scripts() -> None:
    assert "runlore demo --once\n" in (Path(__file__).parents[2] / "Makefile").read_text()


@pytest.mark.slow
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
    assert demo.wait(120) == 1
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
