"""A series by the training's own axis, whatever the order in which it was logged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runlore.query.activity import entity_activity
from runlore.schemas import ArgumentError, EntityRef, MetadataLogged
from runlore.schemas.values import pack_metadata
from tests.events import LogBuilder
from tests.query.views import client_of

MODEL = EntityRef("model", "m", "1")


def logged(log: LogBuilder, value: Any, at_step: int | None, run: str | None = None, step: str | None = None) -> None:
    log.add(MetadataLogged((MODEL,), pack_metadata({"loss": value}), at_step=at_step), run, step)


def test_a_step_is_kept_with_the_entry_and_changes_no_order(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        logged(log, 0.5, 200, "r1", "train")
        logged(log, 0.9, 100, "r1")  # logged late
        logged(log, 0.4, 200)  # the same step again
        logged(log, "diverged", 300)
        logged(log, 0.3, None)

    model = client_of(tmp_path, write).get("model:m@1")
    assert model.metadata == {"loss": 0.3}  # what was logged last, not what has the highest step
    assert [entry.at_step for entry in model.history("loss")] == [200, 100, 200, 300, None]
    assert [(entry.run, entry.step) for entry in model.history("loss")][:3] == [
        ("r1", "train"),
        ("r1", None),
        (None, None),
    ]
    assert model.as_of(2).run_metadata["loss"].at_step == 100
    assert [item.at_step for item in entity_activity(model)] == [None, 300, 200, 100, 200]
    by_time, by_step = model.series("loss"), model.series("loss", x="step")
    assert (by_time.values, by_time.steps) == ([0.5, 0.9, 0.4, 0.3], [200, 100, 200, None])
    assert (by_step.steps, by_step.values, by_step.positions) == ([100, 200, 200], [0.9, 0.5, 0.4], [2, 1, 3])
    assert model.as_of(2).series("loss", x="step").values == [0.9, 0.5]
    with pytest.raises(ArgumentError, match="'time' or 'step'"):
        model.series("loss", x="epoch")  # type: ignore[arg-type]  # what an untyped caller may write


@settings(max_examples=40, deadline=None)
@given(st.lists(st.one_of(st.none(), st.integers(-(2**63), 2**63 - 1)), min_size=1, max_size=30))
def test_the_series_by_step_is_the_log_sorted_by_step(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int | None]
) -> None:
    def write(log: LogBuilder) -> None:
        for number, at_step in enumerate(steps):
            logged(log, number, at_step)

    client = client_of(tmp_path_factory.mktemp("axis"), write)
    found = client.get("model:m@1").series("loss", x="step")
    wanted = sorted((at_step, number) for number, at_step in enumerate(steps) if at_step is not None)
    assert list(zip(found.steps, found.values, strict=True)) == wanted
    client.close()
