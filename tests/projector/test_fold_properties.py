"""The view is a pure function of the ordered log (Hypothesis)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from view_tools import current

from runlore.projector.views.digest import view_digest
from runlore.projector.views.view import View
from runlore.schemas import (
    ArtifactVersionConsumed,
    ArtifactVersionProduced,
    EntityRef,
    MetadataRetracted,
    ModelStageChanged,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
)
from tests.events import LogBuilder

names = st.sampled_from(["a", "b"])


values = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=5), st.binary(max_size=3)),
    lambda inner: st.dictionaries(st.sampled_from(["x", "y", "z.w"]), inner, max_size=3),
    max_leaves=4,
)


metadata = st.dictionaries(st.sampled_from(["k", "g", "h"]), values, max_size=3)


versions = st.sampled_from([None, "1", "2", "latest", "production", "custom"])


where = st.one_of(
    st.just({}),
    st.builds(lambda run: {"run": run}, st.sampled_from(["r1", "r2"])),
    st.builds(lambda run, step: {"run": run, "step": step}, st.sampled_from(["r1", "r2"]), st.sampled_from("st")),
)


refs = st.one_of(
    st.builds(EntityRef, st.sampled_from(["artifact", "model"]), names, versions),
    st.builds(lambda run: EntityRef("run", run), st.sampled_from(["r1", "r9"])),
    st.builds(lambda pipeline: EntityRef("step", "s", pipeline=pipeline), st.sampled_from(["p", "r", "r1"])),
)


models = st.builds(EntityRef, st.just("model"), names, versions)


artifacts = st.builds(EntityRef, st.just("artifact"), names, versions)


facts = st.one_of(
    st.builds(MetadataRetracted, st.tuples(refs), st.just((("g", "x"), ("k",))), st.just("why")),
    st.builds(RunStarted, st.just("p"), names, st.none() | models),
    st.builds(RunFinished, st.sampled_from(["completed", "failed"])),
    st.builds(StepStarted, st.none() | models),
    st.builds(StepFinished, st.just("completed")),
    st.builds(ArtifactVersionProduced, artifacts),
    st.builds(ArtifactVersionConsumed, artifacts),
    st.builds(ModelStageChanged, models, st.sampled_from(["production", "staging", "archived"])),
)


actions = st.one_of(
    st.tuples(st.just("log"), st.lists(refs, min_size=1, max_size=2), metadata, st.booleans(), where),
    st.tuples(st.just("fact"), facts, where),
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(actions, max_size=25), st.integers(1, 7), st.integers(0, 25))
def test_batch_borders_and_restarts_do_not_show_in_the_view(
    tmp_path_factory: pytest.TempPathFactory, todo: list[Any], batch: int, restart: int
) -> None:
    log = LogBuilder()
    for action in todo:
        if action[0] == "log":
            _, targets, data, merge, context = action
            log.log(targets, data, merge, **context)
        else:
            log.add(action[1], **action[2])
    folder = tmp_path_factory.mktemp("fold")
    log.fold_into(folder / "whole.db").close()
    rows = log.rows
    cut = min(restart, len(rows))
    log.rows = rows[:cut]
    log.fold_into(folder / "parts.db", batch).close()
    log.rows = rows
    view: View = log.fold_into(folder / "parts.db", 1, after=cut)
    view.close()
    assert view_digest(folder / "parts.db") == view_digest(folder / "whole.db")


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(metadata, st.booleans()), max_size=8))
def test_the_head_is_what_dict_update_gives(
    tmp_path_factory: pytest.TempPathFactory, updates: list[tuple[dict[str, Any], bool]]
) -> None:
    log, expected = LogBuilder(), dict[str, Any]()
    for update, merge in updates:
        log.log("artifact:a@1", update, merge)
        for key, value in update.items():
            both = isinstance(value, dict) and isinstance(expected.get(key), dict)
            expected[key] = {**expected[key], **value} if merge and both else value
    path = tmp_path_factory.mktemp("fold") / "view.db"
    log.fold_into(path).close()
    found: dict[str, Any] = current(path, "artifact:a@1")
    assert repr(sorted(found.items())) == repr(sorted(flat(expected).items()))


def flat(value: dict[str, Any], above: tuple[str, ...] = ()) -> dict[str, Any]:
    from runlore.schemas.paths import format_path

    leaves: dict[str, Any] = {}
    for key, item in value.items():
        if isinstance(item, dict) and item:
            leaves |= flat(item, (*above, key))
        else:
            leaves[format_path((*above, key))] = item
    return leaves
