from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest

from runlore.query import Change, Client, Feed
from runlore.query.watch.selection import Place
from runlore.schemas import (
    ArgumentError,
    EntityRef,
    FilterError,
    InvalidReferenceError,
    LatestOnlyError,
    MetadataRetracted,
    ModelStageChanged,
    MomentError,
    NoteAdded,
    NotFoundError,
    RunFinished,
    RunStarted,
    StepStarted,
)
from runlore.store.folder import DataDir
from tests.events import LogBuilder
from tests.query.views import client_of, fold_live

CHURN_1 = EntityRef("model", "churn", "1")


def short(changes: list[Change]) -> list[tuple[int, str, str, Any]]:
    return [(c.position, c.reference, c.entry.path, c.entry.type if c.entry.ended else c.entry.value) for c in changes]


def drain(client: Client, *what: Any, since: Any = 0, **options: Any) -> list[Change]:
    return list(client.watch(*what, since=since, timeout=0, **options))


def write(log: LogBuilder) -> None:
    log.log("model:churn@1", {"accuracy": 0.5, "g": {"x": 1, "y": 2}})
    log.log("model:churn@1", {"g": {"x": 3}})
    log.log("model:churn@2", {"accuracy": 0.9, "train.loss": 0.1})
    log.add(MetadataRetracted((CHURN_1,), (("accuracy",),), "wrong data"))
    log.add(ModelStageChanged(CHURN_1, "production"))
    log.log(["model:churn@1", "model:churn@2"], {"owner": "ada"})
    log.add(NoteAdded((CHURN_1,), "fine"))
    log.log("dataset:rows@1", {"accuracy": 1})


def test_every_change_of_the_log_comes_once_in_order_with_what_it_was_before(tmp_path: Path) -> None:
    changes = drain(client_of(tmp_path, write), "model:churn@1")
    assert short(changes) == [
        (1, "model:churn@1", "accuracy", 0.5),
        (1, "model:churn@1", "g.x", 1),
        (1, "model:churn@1", "g.y", 2),
        (2, "model:churn@1", "g.x", 3),
        (2, "model:churn@1", "g.y", "removed"),
        (4, "model:churn@1", "accuracy", "retracted"),
        (5, "model:churn@1", "stage", "production"),
        (6, "model:churn@1", "owner", "ada"),
        (7, "model:churn@1", "note", "fine"),
    ]
    assert [c.entry.previous for c in changes[3:6]] == [1, 2, 0.5]
    assert [c.entry.previous_type for c in changes] == [None] * 3 + ["int", "int", "float", None, None, None]
    retracted, stage = changes[5], changes[6]
    assert (retracted.entry.reason, retracted.entry.value) == ("wrong data", None)
    assert (retracted.scope, stage.scope) == ("metadata", "field")
    assert retracted.entry.actor.user == "ada"


def test_a_name_means_all_its_versions_and_a_stage_whichever_held_it_at_the_time(tmp_path: Path) -> None:
    client = client_of(tmp_path, write)
    assert {c.reference for c in drain(client, "model:churn")} == {"model:churn@1", "model:churn@2"}
    assert [c.position for c in drain(client, "model:churn@production")] == [5, 6, 7]
    assert short(drain(client, "model:churn@latest", key="accuracy")) == [
        (1, "model:churn@1", "accuracy", 0.5),
        (3, "model:churn@2", "accuracy", 0.9),
    ]
    assert drain(client, "model:nobody") == []


def test_keys_groups_leaves_fields_and_kinds_narrow_a_watch(tmp_path: Path) -> None:
    client = client_of(tmp_path, write)
    assert [c.entry.path for c in drain(client, key="g")] == ["g.x", "g.y", "g.x", "g.y"]
    assert [c.entry.path for c in drain(client, key=("g", "x"))] == ["g.x", "g.x"]
    assert short(drain(client, key="accuracy", kind="dataset")) == [(8, "dataset:rows@1", "accuracy", 1)]
    assert [c.entry.value for c in drain(client, key="stage")] == ["production"]
    assert [c.entry.value for c in drain(client, key="train.loss")] == [0.1]
    assert drain(client, key="never") == []


def test_a_run_brings_the_entries_of_its_steps(tmp_path: Path) -> None:
    def runs(log: LogBuilder) -> None:
        for run in ("r1", "r2"):
            log.add(RunStarted("nightly", f"nightly-{run}"), run=run)
            log.add(StepStarted(), run=run, step="train")
            log.log(EntityRef("step", "train", run=run), {"loss": run})
            log.log(f"run:{run}", {"loss": "own"})
            log.add(RunFinished("completed"), run=run)

    client = client_of(tmp_path, runs)
    assert {c.reference for c in drain(client, "run:r1")} == {"run:r1", "step:r1/train"}
    assert short(drain(client, "run:r1", key="train::loss")) == [(3, "step:r1/train", "loss", "r1")]
    assert short(drain(client, "run:nightly", key="loss")) == [(9, "run:r2", "loss", "own")]


def test_other_projects_do_not_show(tmp_path: Path) -> None:
    client = client_of(tmp_path, write)
    with Client(tmp_path, project="other") as other:
        assert drain(other) == []
    assert len(drain(client)) > 10


def test_every_place_of_a_change_is_one_to_go_on_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client = client_of(tmp_path, write)
    whole = drain(client)
    for page in (1, 3, 500):
        monkeypatch.setattr("runlore.query.watch.changes.PAGE_CHANGES", page)
        monkeypatch.setattr("runlore.query.watch.changes.PAGE_POSITIONS", max(page // 2, 1))
        assert drain(client) == whole
        for index, change in enumerate(whole):
            assert drain(client, since=change.place) == whole[index + 1 :]
            assert drain(client, since=change.position) == [c for c in whole if c.position > change.position]


def test_the_place_of_a_watch_is_after_what_was_taken(tmp_path: Path) -> None:
    client = client_of(tmp_path, write)
    watch = client.watch(since=0, timeout=0)
    assert watch.place == Place(0)
    whole = drain(client)
    for index, change in enumerate(watch):
        assert change == whole[index]
        assert drain(client, since=watch.place) == whole[index + 1 :]
    assert watch.place == Place(8)


def test_without_since_only_what_comes_is_given_also_over_a_switch_of_generations(tmp_path: Path) -> None:
    data, log = DataDir(tmp_path), LogBuilder()
    write(log)
    fold_live(data, log)
    client = Client(tmp_path)
    watch = client.watch("model:churn@1", timeout=0)
    assert list(watch) == []
    log.log("model:churn@1", {"accuracy": 0.6})
    fold_live(data, log, after=8)
    assert short([next(watch)]) == [(9, "model:churn@1", "accuracy", 0.6)]
    log.log("model:churn@1", {"accuracy": 0.7})
    fold_live(data, log, generation=2)
    data.view(1).unlink()
    assert short(list(watch)) == [(10, "model:churn@1", "accuracy", 0.7)]


def test_a_place_ahead_of_the_log_waits_for_it(tmp_path: Path) -> None:
    client = client_of(tmp_path, write)
    assert drain(client, since=100) == []
    log = LogBuilder()
    write(log)
    log.log("model:x@1", {"a": 1})
    watch = client.watch(since=9, timeout=0)
    fold_live(DataDir(tmp_path), log, after=8)
    assert list(watch) == []


def test_a_timeout_counts_from_the_last_change(tmp_path: Path) -> None:
    client = client_of(tmp_path, write)
    started = time.monotonic()
    assert len(list(client.watch(since=0, timeout=0.2))) > 10
    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize(
    ("what", "options", "error"),
    [
        ("", {}, ArgumentError),
        ("accuracy <", {}, FilterError),
        ("model:", {}, InvalidReferenceError),
        ("model:churn", {"since": -1}, MomentError),
        ("model:churn", {"key": '"open'}, InvalidReferenceError),
    ],
)
def test_what_makes_no_sense_is_refused_at_once(
    tmp_path: Path, what: str, options: Any, error: type[Exception]
) -> None:
    with pytest.raises(error):
        client_of(tmp_path, write).watch(what, **options)


def test_a_client_of_the_past_and_a_folder_without_a_view_say_so(tmp_path: Path) -> None:
    client_of(tmp_path / "a", write)
    with pytest.raises(LatestOnlyError, match="as_of"):
        Client(tmp_path / "a", as_of=3).watch()
    with pytest.raises(NotFoundError):
        Client(tmp_path / "b").watch()


def test_a_filter_gives_the_leaves_it_mentions_where_it_held_right_then(tmp_path: Path) -> None:
    def logged(log: LogBuilder) -> None:
        for accuracy in (0.95, 0.5, 0.92, 0.7):
            log.log("model:churn@1", {"accuracy": accuracy})
            log.log("dataset:churn@1", {"accuracy": accuracy})
            log.log("model:churn@1", {"other": accuracy, "g": {"x": 1}})
        log.add(ModelStageChanged(CHURN_1, "production"))
        log.log("model:churn@1", {"accuracy": 0.6})

    client = client_of(tmp_path, logged)
    low = drain(client, "accuracy < 0.9", kind="model")
    assert short(low) == [
        (position, "model:churn@1", "accuracy", value) for position, value in ((4, 0.5), (10, 0.7), (14, 0.6))
    ]
    assert [c.position for c in drain(client, "accuracy < 0.9")] == [4, 5, 10, 11, 14]
    assert [(c.position, c.entry.path) for c in drain(client, "stage = 'production' and accuracy > 0.1")] == [
        (13, "stage"),
        (14, "accuracy"),
    ]
    assert [c.entry.path for c in drain(client, "g.x = 1")] == ["g.x"] * 4
    assert {c.reference for c in drain(client, "name = 'churn' and version = 1", kind="dataset")} == {"dataset:churn@1"}
    assert len(drain(client, "not accuracy < 0.9")) == 4
    with pytest.raises(FilterError):
        client.watch("accuracy <")


def test_a_filter_on_a_parameter_gives_the_parameters(tmp_path: Path) -> None:
    def logged(log: LogBuilder) -> None:
        for run, rate in (("r1", 0.1), ("r2", 0.3)):
            log.add(RunStarted("nightly", run, parameters={"lr": rate, "deep": {"n": 5}}), run=run)
        log.log("run:r2", {"parameters": {"momentum": 0.9, "deep.n": 6}})
        log.log("model:m@1", {"parameters": {"lr": 0.5, "momentum": 0.9}})

    client = client_of(tmp_path, logged)
    assert short(drain(client, "parameters.lr > 0.2")) == [
        (2, "run:r2", "parameters", {"lr": 0.3, "deep": {"n": 5}}),
        (4, "model:m@1", "parameters.lr", 0.5),
    ]
    assert [c.reference for c in drain(client, "parameters.deep.n = 5 and status = 'running'")] == [
        "run:r1", "run:r1", "run:r2", "run:r2",
    ]  # fmt: skip
    assert [c.reference for c in drain(client, '"parameters".lr > 0.2')] == ["model:m@1"]


def test_a_text_that_begins_with_the_key_of_a_step_is_a_filter(tmp_path: Path) -> None:
    def logged(log: LogBuilder) -> None:
        for run, loss in (("r1", 0.5), ("r2", 2)):
            log.add(StepStarted(), run=run, step="train")
            log.log(EntityRef("step", "train", run=run), {"loss": loss})
            log.log(f"run:{run}", {"note": run})

    client = client_of(tmp_path, logged)
    assert short(drain(client, "train::loss < 1 and exists note")) == [(3, "run:r1", "note", "r1")]
    with pytest.raises(FilterError):
        client.watch("train::loss <")


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_an_async_watch_gives_the_same_and_survives_being_cancelled(tmp_path: Path, backend: str) -> None:
    pytest.importorskip(backend)
    data, log = DataDir(tmp_path), LogBuilder()
    log.log("model:m@1", {"n": 0})
    fold_live(data, log)
    client = Client(tmp_path)

    def fold_more() -> None:
        for number in range(1, 6):
            log.log("model:m@1", {"n": number, "twice": number})
            fold_live(data, log, after=number)
            time.sleep(0.03)

    async def collect() -> list[Any]:
        watch, seen = client.watch_async("model:m", since=0, timeout=90), list[Any]()
        while len(seen) < 11:
            with anyio.move_on_after(random.random() * 0.03):
                async for change in watch:
                    seen.append((change.position, change.entry.path))
        return seen

    thread = threading.Thread(target=fold_more)
    thread.start()
    seen = anyio.run(collect, backend=backend)
    thread.join()
    assert seen == [(1, "n"), *((n + 1, path) for n in range(1, 6) for path in ("n", "twice"))]


def test_watches_in_several_threads_of_one_client_do_not_mix(tmp_path: Path) -> None:
    client = client_of(tmp_path, write)
    wanted: dict[str, list[Change]] = {key: drain(client, key=key) for key in ("accuracy", "g", "stage")}
    got: dict[str, list[list[Change]]] = {key: [] for key in wanted}

    def read(key: str) -> Callable[[], None]:
        return lambda: got[key].extend(drain(client, key=key) for _ in range(20))

    threads = [threading.Thread(target=read(key)) for key in wanted]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(many == [wanted[key]] * 20 for key, many in got.items())


def test_an_idle_feed_looks_less_and_less_often(tmp_path: Path) -> None:
    feed: Feed = client_of(tmp_path, write).watch().feed
    pauses: list[float] = []
    for _ in range(60):
        feed.fill()
        pauses.append(feed.pause)
    assert pauses == sorted(pauses)
    assert 0.004 < pauses[0] < 0.01
    assert pauses[-1] <= 0.05
