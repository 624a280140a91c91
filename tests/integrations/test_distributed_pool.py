"""dask: `in_context` carries a run and step to its workers, which are other processes."""

from __future__ import annotations

from typing import Any

import pytest
from pool_tools import assert_on_step, evaluate

from runlore.cli.stack import EmbeddedStack
from runlore.producer import in_context, run_context, step_context

distributed: Any = pytest.importorskip("distributed")
pytestmark = [pytest.mark.slow, pytest.mark.adapter("distributed")]


def test_tasks_log_on_the_step_that_sent_them(stack: EmbeddedStack) -> None:
    cluster = distributed.LocalCluster(2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1")
    with cluster, distributed.Client(cluster) as client, run_context("pools") as run, step_context("evaluate"):
        assert client.gather(client.map(in_context(evaluate), range(3))) == [0, 1, 2]
    assert_on_step(run.run_id)
