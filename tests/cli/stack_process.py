"""Helpers: the `runlore` command as real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from tests.patience import PATIENCE, until

__all__ = ["RUNLORE", "descendants", "run_cli", "running_up", "until"]

RUNLORE = [sys.executable, "-m", "runlore.cli"]


def run_cli(
    *arguments: str, stdin: str | None = None, seconds: float = PATIENCE, **environ: str
) -> subprocess.CompletedProcess[str]:
    """One command to its end, which must come within `seconds`."""
    return subprocess.run(
        [*RUNLORE, *arguments],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=seconds,
        env={**os.environ, **environ},
    )


@contextmanager
def running_up(folder: Path, *options: str, **environ: str) -> Iterator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """A ready `runlore up --json`, and what it announced. Without `options` it has no query service."""
    process = subprocess.Popen(
        [*RUNLORE, "up", "--data-dir", str(folder), "--json", *(options or ("--no-queries",))],
        stdout=subprocess.PIPE,
        stderr=(folder.parent / "up.err").open("ab"),
        text=True,
        env={**os.environ, **environ},
    )
    try:
        assert process.stdout
        line = process.stdout.readline()
        assert line, (folder.parent / "up.err").read_text()
        yield process, json.loads(line)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGINT)
            process.wait(PATIENCE)


def descendants(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return psutil.Process(process.pid).children(recursive=True)
