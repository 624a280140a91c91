"""joblib, which comes with scikit-learn: `in_context` carries a run and step to its workers, which are other processes."""

from __future__ import annotations

from typing import Any

import pytest
from pool_tools import assert_on_step, evaluate

from runlore.cli.stack import EmbeddedStack
from runlore.producer import in_context, run_context, step_context

joblib: Any = pytest.importorskip("joblib")
pytestmark = [pytest.mark.slow, pytest.mark.adapter("sklearn")]


def test_tasks_log_on_the_step_that_sent_them(stack: EmbeddedStack) -> None:
    with run_context("pools") as run, step_context("evaluate"):
        joblib.Parallel(2)(joblib.delayed(in_context(evaluate))(fold) for fold in range(3))
    assert_on_step(run.run_id)
