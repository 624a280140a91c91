"""What a training left in Runlore, in the form in which hosts tell it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import runlore.producer as producer
from runlore.query import Client
from tests.page_blocks import run_blocks
from tests.patience import PATIENCE

SLOW = 270
"""Seconds for a program that imports torch, perhaps twice, on a busy machine: less than pytest's limit."""
Points = dict[str, list[tuple[int | None, float]]]
"""Step and value of each measurement, in the order in which they were logged."""


def caught_up() -> Client:
    client = Client()
    producer.flush(PATIENCE)
    client.wait_for(producer.log_metadata({"done": True}, "marker:end"), PATIENCE)
    return client


def points(entity: Any) -> Points:
    """Histories of the metrics of a run or step."""
    return {
        key: [(entry.at_step, entry.value) for entry in entity.history(("metrics", key))]
        for key in entity.metadata.get("metrics", {})
    }


def stepped(values: Points) -> Points:
    """Only what has a step."""
    kept = {key: [point for point in series if point[0] is not None] for key, series in values.items()}
    return {key: series for key, series in kept.items() if series}


def parameters(entity: Any) -> dict[str, Any]:
    """Those that it was started with, and those that were told later."""
    return {**entity.parameters, **entity.metadata.get("parameters", {})}


def script(code: str, folder: Path, *launcher: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a program in a process of its own, which inherits the test's settings; with `launcher`, ``python -m …``."""
    path = folder / "program.py"
    path.write_text(code)
    command = [sys.executable, *launcher, str(path)]
    environ = {**os.environ, "OMP_NUM_THREADS": "1", **variables}
    with subprocess.Popen(
        command,
        cwd=folder,
        env=environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, errors = process.communicate(timeout=SLOW)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)  # and what it has started
            raise
    return subprocess.CompletedProcess(command, process.returncode, output, errors)


def run_section(name: str, folder: Path) -> None:
    """Run the blocks of a section of the page about integrations, which say what they print."""
    run_blocks(Path(__file__).parents[2] / "docs" / "integrations.md", folder, section=name)


INTERRUPT = f"import os, signal; os.kill(os.getpid(), {int(signal.SIGINT)})"
"""What Ctrl-C does."""
