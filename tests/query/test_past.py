"""Looking back: clocks, differences with deltas, blame, series, comparisons."""

from __future__ import annotations

import datetime as dt
import importlib
import math
from pathlib import Path
from typing import Any

import pytest

from runlore.query import Client, lookup
from runlore.schemas import EntityRef, MetadataRetracted, NoteAdded, NotFoundError, RunStarted, StepStarted, StorageSize
from runlore.schemas.errors import MomentError, RunloreError
from tests.events import START, LogBuilder
from tests.query.views import client_of

MODEL = EntityRef("model", "m", "1")


def at(seconds: float) -> dt.datetime:
    return START + dt.timedelta(seconds=seconds)


def late_log(log: LogBuilder) -> None:
    """The second event waited in an outbox: it occurred first."""
    log.log("model:m@1", {"accuracy": 0.5}, occurred_at=at(10))
    log.log("model:m@1", {"accuracy": 0.25, "seen": True}, occurred_at=at(2))
    log.log("model:m@1", {"accuracy": 0.75}, occurred_at=at(20))
    log.log("model:late@1", {"k": 1}, occurred_at=at(3))


def test_by_the_producers_clocks_a_late_event_counts_from_when_it_occurred(tmp_path: Path) -> None:
    client = client_of(tmp_path, late_log)
    model = client.get("model:m@1")
    assert model.as_of(at(5), clock="occurred").metadata == {"accuracy": 0.25, "seen": True}
    assert model.as_of(at(1)).metadata == {"accuracy": 0.5}  # what the log knew then
    # Among what had occurred the log's order decides: 0.25 came after 0.5.
    assert model.as_of(at(15), clock="occurred").metadata["accuracy"] == 0.25
    with Client(tmp_path, as_of=at(5), clock="occurred") as then:
        assert [model.reference for model in then.list_model_versions()] == ["model:late@1", "model:m@1"]
        assert [entry.value for entry in then.get("model:m").history("accuracy")] == [0.25]
        assert then.get("model:m").series("accuracy").times == [at(2).timestamp()]
        assert then.position == 4
        assert then.compare(["model:m", "model:late"]).to_dict()["k"] == {"model:late@1": 1}
        assert {item.path: item.change for item in then.diff("model:m@1", since=at(1))} == {
            "accuracy": "added",
            "seen": "added",
        }
    with Client(tmp_path, as_of=at(1), clock="occurred") as before:
        assert before.list_kinds() == {}
        with pytest.raises(NotFoundError):
            before.get("model:m@1")
    with Client(tmp_path, clock="occurred") as now:
        past = now.get("model:m@1").history("accuracy", since=at(5), until=at(15))
        assert [(entry.value, entry.previous) for entry in past] == [(0.5, None)]


def test_what_was_known_at_a_position_can_be_asked_by_the_producers_clocks_too(tmp_path: Path) -> None:
    known = client_of(tmp_path, late_log).get("model:m@1", as_of=1)
    with pytest.raises(NotFoundError):
        known.as_of(at(5), clock="occurred")  # the late event had not come
    assert known.as_of(at(10), clock="occurred").metadata == {"accuracy": 0.5}


def test_moments_that_are_none_are_refused(tmp_path: Path) -> None:
    client = client_of(tmp_path, late_log)
    model = client.get("model:m@1")
    with pytest.raises(MomentError, match="give a time"):
        model.as_of(3, clock="occurred")
    with pytest.raises(MomentError, match="time zone"):
        client.get("model:m", as_of=dt.datetime(2026, 1, 1))
    with pytest.raises(MomentError, match="future"):
        Client(tmp_path, as_of="tomorrow")
    with pytest.raises(MomentError, match="no clock"):
        Client(tmp_path, clock="wall")  # type: ignore[arg-type]  # what an untyped caller may write
    with pytest.raises(MomentError, match="search"):
        client.moment_of(at(5), "occurred").recorded("search")
    assert client.moment_of(3).recorded("search") == 3
    assert model.as_of("2").metadata["accuracy"] == 0.25
    assert model.as_of("2026-01-01T00:00:03Z").metadata["accuracy"] == 0.75


def test_a_diff_has_deltas_of_numbers_and_sizes_keep_their_unit(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        log.log("model:m@1", {"g": {"loss": 0.5, "n": 0}, "size": StorageSize(1000), "flag": False, "big": 2**2000, "nan": math.nan, "neg": -2, "inf": math.inf})  # fmt: skip
        log.log("model:m@2", {"g": {"loss": 0.25, "n": 4}, "size": StorageSize(1500), "flag": True, "big": 0.5, "nan": 1.0, "neg": -1, "inf": 1.0, "new": 1})  # fmt: skip

    client = client_of(tmp_path, write)
    found = client.diff("model:m@1", "model:m@2")
    by_path = {item.path: (item.change, item.delta, item.relative) for item in found}
    assert by_path["g.loss"] == ("changed", -0.25, -0.5)
    assert by_path["g.n"] == ("changed", 4, None)  # nothing is a share of 0
    assert by_path["size"] == ("changed", StorageSize(500), 0.5)
    assert type(by_path["size"][1]) is StorageSize
    assert by_path["neg"] == ("changed", 1, 0.5)  # up by half of its size
    assert by_path["flag"] == ("changed", None, None)  # a flag is no number
    assert by_path["big"] == ("changed", None, None)  # no float holds it
    assert math.isnan(by_path["nan"][1] or 0)
    assert by_path["nan"][2] is None
    assert by_path["inf"][1:] == (-math.inf, None)
    assert by_path["new"] == ("added", None, None)
    assert (found.position, found.before.reference, len(found.only("added"))) == (2, "model:m@1", 1)


def test_a_reference_in_a_diff_is_looked_up_at_its_own_moment(tmp_path: Path) -> None:
    client = client_of(tmp_path, lambda log: [log.log(f"model:m@{n}", {"n": n}) for n in (1, 2)])
    two = client.diff("model:m", "model:m", since=1)
    assert (two.before.reference, two.after.reference, two[0].delta) == ("model:m@1", "model:m@2", 1)
    one = client.diff("model:m", since=1)  # version 2, which was not there at position 1
    assert [(item.path, item.change, item.after) for item in one] == [("n", "added", 2)]


def test_blame_names_the_event_that_last_set_each_leaf_and_on_demand_what_ended(tmp_path: Path) -> None:
    log = LogBuilder()
    rows = [
        log.log("model:m@1", {"kept": 1, "g": {"x": 1, "y": 2}}),
        log.log("model:m@1", {"g": {"x": 3}}),
        log.add(MetadataRetracted((MODEL,), (("kept",),), "leaked")),
    ]
    model = client_of(tmp_path, lambda other: other.rows.extend(log.rows)).get("model:m@1")
    assert [(entry.path, entry.value, entry.event_id) for entry in model.blame()] == [("g.x", 3, rows[1].event_id)]
    ended = {
        entry.path: (entry.type, entry.reason, entry.event_id, entry.actor.user) for entry in model.blame(ended=True)
    }
    assert ended["kept"] == ("retracted", "leaked", rows[2].event_id, "ada")
    assert ended["g.y"] == ("removed", None, rows[1].event_id, "ada")
    assert [entry.path for entry in model.as_of(2).blame()] == ["kept", "g.x"]
    assert model.blame().position == 3


def test_a_run_shows_the_leaves_of_its_steps_as_its_own_also_in_blame_diff_and_series(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        log.add(RunStarted("p", "p-1"), run="r")
        log.add(StepStarted(), run="r", step="fit")
        for loss in (0.5, 0.25):
            log.log("step:r/fit", {"m": {"loss": loss}}, run="r", step="fit")
        log.log("run:r", {"own": 1})

    client = client_of(tmp_path, write)
    run = client.get_pipeline_run("r")
    assert [entry.path for entry in run.blame()] == ["own", "fit::m.loss"]
    assert run.series("fit::m.loss").values == [0.5, 0.25]
    assert [item.delta for item in client.diff(run, since=3) if item.path == "fit::m.loss"] == [-0.25]


def test_a_series_has_numbers_only_as_plain_lists_and_numpy_arrays_on_demand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(log: LogBuilder) -> None:
        for value in (1, 0.5, "n/a", True, math.nan, None, StorageSize(2), {"x": 1}):
            log.log("model:m@1", {"k": value})

    model = client_of(tmp_path, write).get("model:m@1")
    series = model.series("k")
    assert (series.path, series.positions) == ("k", [1, 2, 5, 7])
    assert [type(value) for value in series.values] == [int, float, float, int]
    assert series.times == [at(position).timestamp() for position in series.positions]
    assert model.series("k", 2).positions == [5, 7]
    assert model.series("k", 1, after=1).positions == [2]
    assert model.series("k", since=at(2), until=5).positions == [2, 5]
    assert model.as_of(2).series("k").values == [1, 0.5]
    positions, times, values = series.to_numpy()
    assert (positions.dtype, str(times.dtype), values.dtype) == ("int64", "datetime64[us]", "float64")
    assert str(times[0]) == "2026-01-01T00:00:01.000000"
    with pytest.raises(NotFoundError):
        model.series("unknown")

    def absent(name: str, *_: Any) -> Any:
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(RunloreError, match="pip install numpy"):
        series.to_numpy()


def test_a_series_of_a_group_says_which_leaves_there_are(tmp_path: Path) -> None:
    model = client_of(tmp_path, lambda log: log.log("model:m@1", {"g": {"x": 1}})).get("model:m@1")
    with pytest.raises(NotFoundError, match=r"g\.x"):
        model.series("g")


def test_a_comparison_marks_the_best_number_of_what_differs(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        for version, score in enumerate((0.5, 0.75, math.nan, "none", 0.75), start=1):
            log.log(f"model:m@{version}", {"score": score, "same": 1, "flag": version == 1})

    client = client_of(tmp_path, write)
    versions = [f"model:m@{version}" for version in range(1, 6)]
    rows = {row.path: row.best for row in client.compare(versions, best="max").rows}
    assert rows == {"score": (1, 4), "flag": (), "same": ()}
    assert next(row.best for row in client.compare(versions, best="min").rows) == (0,)
    assert client.compare(versions).rows[0].best == ()
    assert client.compare(versions).position == 5
    with pytest.raises(ValueError, match="max"):
        client.compare(versions, best="most")  # type: ignore[arg-type]  # what an untyped caller may write


def test_a_correction_and_a_retraction_stay_in_the_history_with_reason_and_actor(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        log.log("model:m@1", {"k": 1})
        log.log("model:m@1", {"k": 2})
        log.add(MetadataRetracted((MODEL,), (("k",),), "wrong test set"))
        log.add(NoteAdded((MODEL,), "see ticket"))

    model = client_of(tmp_path, write).get("model:m@1")
    first, second, ended = model.history("k")
    assert (first.value, first.previous, first.previous_type) == (1, None, None)
    assert (second.value, second.previous, second.previous_type) == (2, 1, "int")
    assert (ended.value, ended.previous, ended.reason, ended.actor.user) == (None, 2, "wrong test set", "ada")
    assert (model.notes.position, model.notes[0].actor.host) == (4, "host-1")


def renamed(log: LogBuilder) -> None:
    """Run r1 is renamed at position 2, a late word; r2 takes its first name at 3, and one of 300 letters at 4."""
    log.add(RunStarted("p", "first name"), run="r1", occurred_at=at(10))
    log.add(RunStarted("p", "second name"), run="r1", occurred_at=at(5))
    log.add(RunStarted("p", "first name"), run="r2", occurred_at=at(20))
    log.add(RunStarted("p", "x" * 300), run="r2", occurred_at=at(30))


@pytest.mark.parametrize(
    ("as_of", "clock", "name", "found"),
    [
        (1, "recorded", "first name", "r1"),
        (1, "recorded", "second name", None),
        (2, "recorded", "first name", None),
        (2, "recorded", "second name", "r1"),
        (3, "recorded", "first name", "r2"),
        (3, "recorded", "x" * 300, None),
        (4, "recorded", "first name", None),
        (None, "recorded", "first name", None),
        (None, "recorded", "second name", "r1"),
        (None, "recorded", "x" * 300, "r2"),
        (at(7), "occurred", "second name", "r1"),
        (at(7), "occurred", "first name", None),
        (at(25), "occurred", "first name", "r2"),
        (at(35), "occurred", "first name", None),
    ],
)
def test_a_run_goes_by_the_name_that_it_had_then(
    tmp_path: Path, as_of: Any, clock: Any, name: str, found: str | None
) -> None:
    client_of(tmp_path, renamed)
    with Client(tmp_path, as_of=as_of, clock=clock) as client:
        if found is None:
            with pytest.raises(NotFoundError):
                client.get_pipeline_run(name)
        else:
            run = client.get_pipeline_run(name)
            assert (run.id, run.name) == (found, name)


@pytest.mark.parametrize(
    ("name", "drives"),
    [
        ("first name", "SEARCH h USING PRIMARY KEY (stretch=? AND path_id=? AND value=?"),
        ("x" * 300, "entities_by_time"),
    ],
)
@pytest.mark.parametrize("as_of", [None, 2])
def test_a_run_is_found_by_its_name_without_a_scan(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, drives: str, as_of: Any
) -> None:
    client_of(tmp_path, renamed)
    with Client(tmp_path, as_of=as_of) as client:
        plain, steps = client.scope.reader.rows, list[str]()

        def explained(sql: str, values: Any = ()) -> Any:
            steps.extend(str(row[3]) for row in plain(f"EXPLAIN QUERY PLAN {sql}", values))
            return plain(sql, values)

        monkeypatch.setattr(client.scope.reader, "rows", explained)
        lookup._runs_named(client.scope, name)
        # v are the stretches of the index, c the entities that were mentioned since it was complete, d is what was found.
        scans = {step for step in steps if step.startswith("SCAN") and "subquery" not in step}
        assert scans <= {"SCAN v", "SCAN c", "SCAN d", "SCAN value_state"}
        assert any(drives in step for step in steps)
