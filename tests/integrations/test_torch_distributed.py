"""torchrun: all processes of a training work in one run."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from loop_tools import caught_up, points, script

from runlore.cli.stack import EmbeddedStack

pytest.importorskip("torch")
pytestmark = [pytest.mark.slow, pytest.mark.adapter("torch")]

PROGRAM = """
import sys
import torch, torch.distributed as dist
from runlore.integrations.torchrun import distributed_run, rank
from runlore.producer import log_run_metadata

if GROUP:
    dist.init_process_group("gloo")
model = torch.nn.Linear(1, 1)
if GROUP:
    model = torch.nn.parallel.DistributedDataParallel(model)
with distributed_run("ddp", parameters={"lr": 0.1}) as run_id:
    for step in range(3):
        loss = model(torch.ones(2, 1)).pow(2).mean()
        loss.backward()
        if rank() == 0:
            log_run_metadata({"metrics": {"loss": float(loss)}}, step=step)
    log_run_metadata({f"rank_{rank()}": {"samples": 6, "run": run_id}})
    if FAILS and rank() == 0:
        raise ValueError("broken")
if GROUP:
    dist.destroy_process_group()
"""


def torchrun(folder: Path, *options: str, group: bool = True, fails: bool = False) -> subprocess.CompletedProcess[str]:
    code = PROGRAM.replace("GROUP", str(group)).replace("FAILS", str(fails))
    return script(code, folder, "-m", "torch.distributed.run", "--nproc-per-node=2", *options)


def test_both_processes_log_in_the_run_of_rank_zero(stack: EmbeddedStack, tmp_path: Path) -> None:
    done = torchrun(tmp_path, "--standalone")
    assert done.returncode == 0, done.stderr
    client = caught_up()
    (found,) = client.find("run", "")
    run = client.get_pipeline_run(found.id)
    assert (run.status, run.pipeline, run.parameters) == ("completed", "ddp", {"lr": 0.1})
    assert [step for step, _ in points(run)["loss"]] == [0, 1, 2]
    assert (run.metadata["rank_0"], run.metadata["rank_1"]) == ({"samples": 6, "run": run.id},) * 2


def test_without_a_process_group_the_jobs_id_names_the_run(stack: EmbeddedStack, tmp_path: Path) -> None:
    done = torchrun(tmp_path, "--rdzv-backend=c10d", "--rdzv-endpoint=127.0.0.1:0", "--rdzv-id=job-7", group=False)
    assert done.returncode == 0, done.stderr
    run = caught_up().get_pipeline_run("job-7")
    assert run.status == "completed"
    assert {"rank_0", "rank_1"} <= set(run.metadata)


def test_an_error_on_rank_zero_fails_the_run_and_is_raised(stack: EmbeddedStack, tmp_path: Path) -> None:
    done = torchrun(tmp_path, "--standalone", fails=True)
    assert done.returncode != 0
    assert "ValueError: broken" in done.stderr
    run = caught_up().get_pipeline_run("ddp")
    assert (run.status, run.fields["error_type"]) == ("failed", "ValueError")
