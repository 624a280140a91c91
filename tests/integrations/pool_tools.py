"""A task that pools of other packages are given."""

from __future__ import annotations

from loop_tools import caught_up

from runlore.producer import flush, log_metadata
from tests.patience import PATIENCE


def evaluate(fold: int) -> int:
    log_metadata({f"fold_{fold}": fold})
    flush(PATIENCE)
    return fold


def assert_on_step(run_id: str) -> None:
    step = caught_up().get_pipeline_run(run_id).steps["evaluate"]
    assert step.metadata == {f"fold_{fold}": fold for fold in range(3)}
