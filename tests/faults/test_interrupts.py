"""Interrupts and signals at random moments of a tight logging loop. A real process, real signals."""

from __future__ import annotations

import collections
import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import runlore.producer as producer
from runlore.cli.stack import EmbeddedStack
from runlore.query import Client
from runlore.store.folder import DataDir
from tests.oracle import assert_nothing_lost_or_doubled

SIGNALS = [[signal.SIGINT], [signal.SIGUSR1], [signal.SIGUSR1, signal.SIGINT], [signal.SIGINT, signal.SIGUSR1]]


def wait_until_longer(out: Path, size: int, step: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 60
    while out.stat().st_size <= size:
        assert step.poll() is None
        assert time.monotonic() < deadline, "the step does not go on"
        time.sleep(0.002)


def returned(out: Path) -> dict[str, list[int]]:
    """What the calls that had returned logged, by key."""
    found: dict[str, list[int]] = collections.defaultdict(list)
    for line in out.read_text().splitlines():
        key, number = line.split(" ")
        found[key].append(int(number))
    return found


@pytest.mark.parametrize("rounds", [10, pytest.param(200, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_a_step_interrupted_and_signalled_at_random_goes_on_and_loses_no_call_that_had_returned(
    stack: EmbeddedStack, data: DataDir, tmp_path: Path, rounds: int
) -> None:
    out = tmp_path / "out"
    chance = random.Random(rounds)
    with out.open("wb") as file:
        step = subprocess.Popen([sys.executable, "-m", "tests.faults.interrupted_load", "it"], stdout=file)
    try:
        wait_until_longer(out, 100, step)
        for _ in range(rounds):
            time.sleep(chance.uniform(0, 0.01))
            for number in chance.choice(SIGNALS):
                os.kill(step.pid, number)
            size = out.stat().st_size
            wait_until_longer(out, size + 50, step)
        step.terminate()
        assert step.wait(180) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            step.kill()
    told = returned(out)
    assert told["unsent"] == [0]
    with Client(data.root) as client:
        client.wait_for(producer.log_metadata({"end": 1}, "load:end@1"), 120)
        load = client.get("load:it@1")
        for key in ("n", "handled"):
            seen = [entry.value for entry in load.history(key)] if key in told else []
            assert len(seen) == len(set(seen))
            assert set(told[key]) <= set(seen)
        assert {one["missing"] for one in client.producers()} == {0}
        assert client.quarantine() == []
        assert {run.status for run in client.list_pipeline_runs("interrupted", limit=10_000)} <= {"completed", "failed"}
    assert_nothing_lost_or_doubled(stack.settings)
