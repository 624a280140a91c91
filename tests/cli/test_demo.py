from __future__ import annotations

import os
from pathlib import Path

import psutil
from stack_process import run_cli


def test_the_demo_shows_what_it_logged_and_leaves_nothing(tmp_path: Path) -> None:
    done = run_cli("demo", TMPDIR=str(tmp_path))
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
    ours = [process for process in psutil.process_iter(["cmdline"]) if _is_of(process, tmp_path)]
    assert ours == []


def _is_of(process: psutil.Process, folder: Path) -> bool:
    try:
        environ = process.environ()
    except (psutil.Error, OSError):
        return False
    return process.pid != os.getpid() and str(folder) in environ.get("RUNLORE_DATA_DIR", "") + environ.get(
        "TMPDIR", ""
    )
