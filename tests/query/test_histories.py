from __future__ import annotations

import datetime as dt
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runlore.schemas import (
    ArgumentError,
    DType,
    EntityRef,
    MetadataRetracted,
    NotFoundError,
    StorageSize,
    Uri,
)
from runlore.schemas import Path as PathValue
from tests.events import START, LogBuilder
from tests.query.views import client_of


def group_log(log: LogBuilder) -> None:
    log.log("model:m@1", {"a": 1, "train.loss": 0.5})
    log.log("model:m@1", {"a": {"x": 1, "y": 2}})
    log.log("model:m@1", {"a": {"x": 3}}, merge=True)
    log.add(MetadataRetracted((EntityRef("model", "m", "1"),), (("a", "y"),), "wrong unit"))
    log.log("model:m@1", {"a": "text again"})
    log.add(MetadataRetracted((EntityRef("model", "m", "1"),), (("a",),), "all wrong"))


def test_a_group_has_its_value_at_each_position_something_below_it_changed(tmp_path: Path) -> None:
    model = client_of(tmp_path, group_log).get("model:m@1")
    past = model.history("a")
    assert [(e.position, e.type, e.value) for e in past] == [
        (1, "int", 1),
        (2, "dict", {"x": 1, "y": 2}),
        (3, "dict", {"x": 3, "y": 2}),
        (4, "dict", {"x": 3}),
        (5, "str", "text again"),
        (6, "retracted", None),
    ]
    assert past[-1].ended
    assert past[-1].reason == "all wrong"
    assert [(e.position, e.type, e.reason) for e in model.history("a.y")] == [
        (2, "int", None),
        (4, "retracted", "wrong unit"),
    ]
    assert model.history("train.loss")[0].value == model.history(("train.loss",))[0].value == 0.5
    assert "a" not in model.run_metadata
    for position, expected in enumerate([1, {"x": 1, "y": 2}, {"x": 3, "y": 2}, {"x": 3}, "text again"], start=1):
        assert model.as_of(position).run_metadata["a"].value == expected
    with pytest.raises(NotFoundError):
        model.history("b")
    with pytest.raises(ArgumentError):
        model.history("a", limit=0)


@pytest.mark.parametrize("key", ["a", "a.x", "a.y"])
def test_any_limit_and_start_give_a_part_of_the_whole_history(tmp_path: Path, key: str) -> None:
    model = client_of(tmp_path, group_log).get("model:m@1")
    whole = model.history(key)
    for since in range(9):
        tail = [entry for entry in whole if entry.position >= since]
        assert list(model.history(key, since=since)) == tail
        for limit in range(1, 8):
            assert list(model.history(key, limit=limit, since=since)) == tail[-limit:]


def test_an_entry_says_who_when_and_where(tmp_path: Path) -> None:
    log = LogBuilder()
    row = log.log("model:m@1", {"k": 1}, run="r1", step="s1")
    client = client_of(tmp_path, lambda other: other.rows.extend(log.rows))
    entry = client.get("model:m@1").run_metadata["k"]
    assert (entry.actor.user, entry.actor.host, entry.run, entry.step) == ("ada", "host-1", "r1", "s1")
    assert (entry.position, entry.event_id, entry.key, entry.path) == (1, row.event_id, "k", "k")
    assert entry.created == START + dt.timedelta(seconds=1)
    assert entry.created.utcoffset() == dt.timedelta(0)


# -- values ------------------------------------------------------------------------------------------

scalars = (
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.decimals(allow_nan=False)
    | st.uuids() | st.dates() | st.datetimes() | st.datetimes(timezones=st.just(dt.UTC)) | st.timedeltas()
    | st.builds(Uri, st.text()) | st.builds(PathValue, st.text()) | st.builds(DType, st.text())
    | st.builds(StorageSize, st.integers())
)  # fmt: skip
keys = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3) | st.lists(inner, max_size=3).map(tuple) | st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=40, deadline=None)
@given(st.dictionaries(keys, values, min_size=1, max_size=4))
def test_every_value_comes_back_of_its_own_type_from_entry_and_history(
    tmp_path_factory: pytest.TempPathFactory, metadata: dict[str, Any]
) -> None:
    client = client_of(tmp_path_factory.mktemp("view"), lambda log: log.log("artifact:a@1", metadata))
    entity = client.get("artifact:a@1")
    assert same(entity.metadata, metadata)
    for key, value in metadata.items():
        assert same(entity.run_metadata[key].value, value)
        assert same(entity.history((key,))[-1].value, value)
    client.close()


def same(one: Any, other: Any) -> bool:
    if type(one) is not type(other):
        return False
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other or (isinstance(one, float) and math.isnan(one) and math.isnan(other)))
