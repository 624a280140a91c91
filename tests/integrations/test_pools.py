"""Pools of other packages: `in_context` carries a run and step to their workers, other processes among them."""

from __future__ import annotations

from typing import Any

import pytest
from loop_tools import caught_up

from runlore.cli.stack import EmbeddedStack
from runlore.producer import flush, in_context, log_metadata, run_context, step_context

pytestmark = [pytest.mark.slow]


def evaluate(fold: int) -> int:
    log_metadata({f"fold_{fold}": fold})
    flush(60)
    return fold


def assert_on_step(run_id: str) -> None:
    step = caught_up().get_pipeline_run(run_id).steps["evaluate"]
    assert step.metadata == {f"fold_{fold}": fold for fold in range(3)}


@pytest.mark.adapter("joblib")
def test_joblib(stack: EmbeddedStack) -> None:
    joblib: Any = pytest.importorskip("joblib")
    with run_context("pools") as run, step_context("evaluate"):
        joblib.Parallel(2)(joblib.delayed(in_context(evaluate))(fold) for fold in range(3))
    assert_on_step(run.run_id)


@pytest.mark.adapter("dask")
def test_dask(stack: EmbeddedStack) -> None:
    distributed: Any = pytest.importorskip("distributed")
    cluster = distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1")
    with cluster, distributed.Client(cluster) as client, run_context("pools") as run, step_context("evaluate"):
        assert client.gather(client.map(in_context(evaluate), range(3))) == [0, 1, 2]
    assert_on_step(run.run_id)


@pytest.mark.adapter("ray")
def test_ray(stack: EmbeddedStack) -> None:
    ray: Any = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, _node_ip_address="127.0.0.1")
    try:
        with run_context("pools") as run, step_context("evaluate"):
            task = ray.remote(lambda function, fold: function(fold))
            bound = in_context(evaluate)
            assert ray.get([task.remote(bound, fold) for fold in range(3)]) == [0, 1, 2]
    finally:
        ray.shutdown()
    assert_on_step(run.run_id)
