"""What child processes are given to do: a module that a spawned one imports quickly."""

from __future__ import annotations

import subprocess
import sys

from runlore.producer import get_step_context, log_run_metadata, log_step_metadata, step, step_context

CODE = "from runlore.producer import log_metadata; log_metadata({'n': 1})"


def work(number: int) -> int:
    log_step_metadata({"n": number})
    log_run_metadata({"r": number})
    return number


@step
def trained(number: int) -> int:
    return work(number)


def asked() -> tuple[str, str, str | None, str]:
    here = get_step_context()
    assert here.model
    return here.step_name, here.run_id, here.pipeline_name, here.model.name


def grandchild() -> None:
    with step_context("inner"):
        subprocess.run([sys.executable, "-c", CODE], check=True)
