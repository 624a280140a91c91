"""A fold that catches up leaves the values that are searched behind, and completes them when it is idle."""

from __future__ import annotations

from pathlib import Path

from folders import append, folding, some_log
from view_tools import query

from runlore.projector.views.value_index import BEHIND, CATCHING_UP
from runlore.store.folder import DataDir
from tests.patience import until


def test_an_idle_fold_completes_the_values_that_a_large_batch_left_behind(tmp_path: Path) -> None:
    data, events = DataDir(tmp_path / "data"), BEHIND + 1
    assert events < CATCHING_UP
    data.root.mkdir()
    append(data, some_log(events), sign=False)
    with folding(data) as fold:
        fold.reached(events)
        until(lambda: query(data.current_view(), "SELECT position FROM value_state") == [(events,)])
