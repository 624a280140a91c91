"""torchrun and DDP: all processes of a training work in one run, which rank zero opens and ends.

The others learn its ID through the process group, or derive it from the job's own ID (``torchrun --rdzv-id=…``).
Processes that are started inside ``with run_context(…)`` need none of this: they inherit the run.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any

from runlore.integrations.guard import Guard
from runlore.producer import run_context

GUARD = Guard("torchrun")


def rank() -> int:
    """This process's number among those of the training; 0 outside torchrun."""
    return int(os.environ.get("RANK") or 0)


def world_size() -> int:
    """Number of processes of the training."""
    return int(os.environ.get("WORLD_SIZE") or 1)


@contextmanager
def distributed_run(pipeline: str, **options: Any) -> Generator[str | None]:
    """Open one run in all processes of a training; gives its ID, or None where it could not be recorded.

        torch.distributed.init_process_group("gloo")
        with distributed_run("train", parameters={"lr": 0.1}):
            log_run_metadata({"metrics": {"loss": 0.3}}, step=1)  # on rank 0
            log_run_metadata({f"rank_{rank()}": {"samples": 640}})

    Options as for `run_context`. On other ranks, an error does not fail the run.
    """
    stack = ExitStack()
    opened: list[str] = []
    GUARD.run(lambda: _open_first(stack, opened, pipeline, options))
    run_id = _shared(opened[0] if opened else None)
    if run_id is not None and not opened:
        GUARD.run(lambda: opened.append(stack.enter_context(run_context(run_id=run_id, join=True)).run_id))
    try:
        yield opened[0] if opened else None
    except BaseException as error:
        _close(stack, error)
        raise
    else:
        _close(stack, None)


def _open_first(stack: ExitStack, opened: list[str], pipeline: str, options: dict[str, Any]) -> None:
    if rank() == 0:
        given: dict[str, Any] = {"run_id": _job_id(), **options} if world_size() > 1 else options
        run = run_context(pipeline, **given)
        run.__enter__()
        opened.append(run.run_id)

        def close(kind: Any, error: BaseException | None, trace: Any) -> None:
            run.finish("killed" if isinstance(error, KeyboardInterrupt) else None, error=error)

        stack.push(close)


def _close(stack: ExitStack, error: BaseException | None) -> None:
    GUARD.run(lambda: stack.__exit__(None if error is None else type(error), error, None))


def _shared(run_id: str | None) -> str | None:
    """The run's ID on every rank. All of them ask each other, whatever happened to rank zero: none waits in vain."""
    if world_size() == 1:
        return run_id
    group: Any = sys.modules.get("torch.distributed")
    if group is not None and group.is_available() and group.is_initialized():
        told = [run_id]
        GUARD.run(lambda: group.broadcast_object_list(told, src=0))
        return told[0]
    found = _job_id() if run_id is None else run_id
    if found is None:
        GUARD.warn(
            "the run's ID is not known on this rank: call init_process_group first, or pass --rdzv-id to torchrun"
        )
    return found


def _job_id() -> str | None:
    """An ID that all processes of this job, and of this try of it, know."""
    job = os.environ.get("TORCHELASTIC_RUN_ID")
    if not job or job == "none":
        return None
    tries = os.environ.get("TORCHELASTIC_RESTART_COUNT") or "0"
    return job if tries == "0" else f"{job}-{tries}"
