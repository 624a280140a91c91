"""Ray: `in_context` carries a run and step to its workers, which are other processes."""

from __future__ import annotations

from typing import Any

import pytest
from pool_tools import assert_on_step, evaluate

from runlore.cli.stack import EmbeddedStack
from runlore.producer import in_context, run_context, step_context

ray: Any = pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.adapter("ray")]


def test_tasks_log_on_the_step_that_sent_them(stack: EmbeddedStack) -> None:
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    try:
        with run_context("pools") as run, step_context("evaluate"):
            task, bound = ray.remote(lambda function, fold: function(fold)), in_context(evaluate)
            assert ray.get([task.remote(bound, fold) for fold in range(3)]) == [0, 1, 2]
    finally:
        ray.shutdown()
    assert_on_step(run.run_id)
