"""Erasing everything that a person can put into an event: what goes, what stays, and what says so."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from runlore.dashboard.app import create_app
from runlore.projector.archiving.archive import ArchiveReader
from runlore.projector.erasures.erase import Target
from runlore.projector.fold.fold_report import FoldReport
from runlore.projector.fold.fold_worker import FoldWorker
from runlore.projector.views.digest import ViewSnapshot
from runlore.projector.views.look_through import MOST_REBUILDS
from runlore.projector.views.replay import replay
from runlore.query.records import entry_record, whole_record
from runlore.query.remote.codec import Unpacker, pack
from runlore.schemas import Erased, NotFoundError, RunDescribed, RunloreError, parse_ref
from runlore.store.sqlite import open_reader
from tests.audit.erasing_folder import MODEL, RUN, SECRET, STEP, ErasableFolder, with_everything
from tests.patience import until


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[ErasableFolder]:
    made = with_everything(tmp_path / "data")
    yield made
    made.archive.close()


def left(folder: ErasableFolder) -> int:
    return sum(path.read_bytes().count(SECRET.encode()) for path in folder.data.root.rglob("*") if path.is_file())


def test_nothing_of_it_is_in_any_file_when_everything_is_erased(folder: ErasableFolder) -> None:
    assert folder.holding() >= {"log.db"}
    for about in (MODEL, RUN, STEP):
        folder.erase(Target.of(about, what=["everything"]))
    assert folder.holding() == set()
    folder.archive.close()
    report = folder.verify()
    assert (report.erased, report.problems) == (10, [])


@pytest.mark.parametrize(
    ("target", "events"),
    [
        (Target.of(MODEL), [1]),
        (Target.of(MODEL, [("customer",)]), [1]),
        (Target.of(MODEL, what=["notes"]), [6]),
        (Target.of(MODEL, what=["reasons"]), [7, 8]),
        (Target.of(MODEL, [("g",)], ["notes"]), [1, 6]),
        (Target.of(RUN, [("parameters", "user")]), [2]),
        (Target.of(RUN, [("parameters", "opt")], ["errors"]), [2, 5]),
        (Target.of(STEP, what=["parameters"]), [3]),
        (Target.of(STEP, what=["errors"]), [4]),
        (Target.of(MODEL, what=["everything"]), [1, 6, 7, 8, 9, 10]),
        (Target.of(9), [9]),
        (Target.of(10), [10]),
        (Target.of("broken"), [9]),
        (Target.of(2), [2]),
    ],
)
def test_an_erasure_names_the_events_that_hold_what_is_meant(
    folder: ErasableFolder, target: Target, events: list[int]
) -> None:
    assert [event.position for event in folder.plan(target).events] == events


@pytest.mark.parametrize("target", [Target.of(RUN), Target.of(MODEL, [("nothing",)]), Target.of(99), Target.of("none")])
def test_what_holds_nothing_of_the_kind_is_not_found(folder: ErasableFolder, target: Target) -> None:
    with pytest.raises(NotFoundError):
        folder.plan(target)


def test_what_was_erased_says_so_wherever_it_is_read(folder: ErasableFolder) -> None:
    for about in (MODEL, RUN, STEP):
        folder.erase(Target.of(about, what=["everything"]))
    with folder.client() as client:
        model, run, step = client.get("model:churn@1"), client.get("run:r1"), client.get("step:r1/train")
        assert [entry.type for entry in model.notes] == ["Erased"]
        assert client.get("model:churn@2").notes[0].value == Erased("left")
        retracted = model.history("owner")[-1]
        assert (retracted.type, type(retracted.reason), retracted.reason) == ("retracted", Erased, "left")
        assert entry_record(retracted)["reason"] == "erased: left"
        assert model.fields["stage_reason"] == Erased("left")
        assert run.parameters == {"user": Erased("left"), "opt": {"lr": Erased("left"), "who": Erased("left")}}
        assert step.error == "ValueError: erased: left"
        assert run.error == "ValueError: erased: left"
        record: Any = msgspec.json.decode(msgspec.json.encode(whole_record(run)))
        assert record["fields"]["error_message"] == "erased: left"
        assert record["fields"]["parameters"]["user"] == "erased: left"
        assert client.find("run", "parameters.user = 'left'") == []
        assert {one["position"]: one["error"] for one in client.quarantine()}[9] == "all of it was erased: left"


def test_only_the_parameters_that_are_named_go(folder: ErasableFolder) -> None:
    folder.erase(Target.of(RUN, [("parameters", "user"), ("parameters", "opt", "who")]))
    with folder.client() as client:
        assert client.get("run:r1").parameters == {"user": Erased("left"), "opt": {"lr": 0.1, "who": Erased("left")}}
        assert "zebra" in (client.get("run:r1").error or "")


def test_what_a_run_was_started_in_can_be_erased(folder: ErasableFolder) -> None:
    folder.built.add(RunDescribed({"command": f"train.py --user {SECRET}", "code": {"commit": "5f2c"}}), run="r1")
    folder.take()
    folder.fold()
    folder.erase(Target.of(RUN, [("environment", "command")]))
    with folder.client() as client:
        assert client.get("run:r1").fields["environment"] == {"command": Erased("left"), "code": {"commit": "5f2c"}}
    assert folder.plan(Target.of(RUN, what=["environment"])).values == 1


def test_rebuild_and_replay_agree_about_erased_content(folder: ErasableFolder) -> None:
    for about in (MODEL, RUN, STEP):
        folder.erase(Target.of(about, what=["everything"]))
    replayed = folder.data.root / "replayed.db"
    with contextlib.closing(ArchiveReader(folder.data.log)) as log:
        replay(log, replayed)
    with (
        contextlib.closing(ViewSnapshot(folder.data.current_view())) as view,
        contextlib.closing(ViewSnapshot(replayed)) as other,
    ):
        assert other.digest() == view.digest()


def test_an_event_that_was_erased_once_can_lose_more(folder: ErasableFolder) -> None:
    folder.erase(Target.of(RUN, [("parameters", "user")]), "first")
    folder.erase(Target.of(2), "second")
    with folder.client() as client:
        found = client.get("run:r1").parameters
        assert found == {"user": Erased("first"), "opt": {"lr": Erased("second"), "who": Erased("second")}}
    with pytest.raises(NotFoundError):
        folder.plan(Target.of(2))


def test_what_only_looks_erased_is_erased(folder: ErasableFolder) -> None:
    folder.built.log("model:fake@1", {"customer": Erased(SECRET)})
    folder.take()
    folder.fold()
    assert folder.plan(Target.of(folder.archive.position)).values == 1


def test_many_values_of_one_event_are_erased_in_as_many_statements_as_it_takes(folder: ErasableFolder) -> None:
    folder.built.log("model:wide@1", {f"{'k' * 60}-{number}": SECRET for number in range(900)} | {"kept": 1})
    folder.take()
    folder.fold()
    keys = [(f"{'k' * 60}-{number}",) for number in range(900)]
    plan = folder.erase(Target.of(parse_ref("model:wide@1"), keys))
    assert len(plan.events) > 1
    assert plan.values == 900
    with folder.client() as client:
        assert [key for key, value in client.get("model:wide@1").metadata.items() if value != Erased("left")] == [
            "kept"
        ]
    folder.archive.close()
    assert folder.verify().problems == []


def test_a_reason_that_would_make_an_event_too_large_is_refused(folder: ErasableFolder) -> None:
    folder.built.log("model:large@1", dict.fromkeys("abcdefghij", 1))
    folder.take()
    folder.fold()
    with pytest.raises(RunloreError, match="give a shorter reason"):
        folder.plan(Target.of(folder.archive.position), "x" * 2_000_000)


def test_what_was_erased_travels_to_remote_readers_and_the_page(folder: ErasableFolder) -> None:
    for about in (MODEL, RUN, STEP):
        folder.erase(Target.of(about, what=["everything"]))
    with folder.client() as client:
        model, step = client.get("model:churn@1"), client.get("step:r1/train")
        for found in (model.history("owner"), model.blame(ended=True), model.notes, step.fields):
            wire = msgspec.msgpack.decode(msgspec.msgpack.encode(pack(found)))
            assert repr(Unpacker(lambda row, moment, name: model).read(wire)) == repr(found)
        page = TestClient(create_app(client, ["testserver"]))
        for path in ("entity?ref=model:churn@1", "entity?ref=step:r1/train", "history?ref=model:churn@1&path=owner"):
            shown = page.get(f"/{path}")
            assert (shown.status_code, SECRET in shown.text, "erased" in shown.text) == (200, False, True), path
        for path in ("entity?ref=run:r1", "history?ref=model:churn@1&path=owner", "blame?ref=model:churn@1&ended=1"):
            shown = page.get(f"/api/v1/{path}")
            assert (shown.status_code, SECRET in shown.text, "erased: left" in shown.text) == (200, False, True), path
        for position in range(1, 11):
            for shown in (page.get(f"/event?position={position}"), page.get(f"/api/v1/event?position={position}")):
                assert (shown.status_code, SECRET in shown.text, "left" in shown.text) == (200, False, True), position


def test_a_view_may_be_made_again_for_any_number_of_erasures(folder: ErasableFolder) -> None:
    reports: list[FoldReport] = []
    worker = FoldWorker(folder.data, reports.append)
    thread = threading.Thread(target=worker.work)
    thread.start()
    try:
        for position in range(1, MOST_REBUILDS + 3):
            folder.carry_out(folder.plan(Target.of(position)), "left", fold=False)
            worker.wake()
            until(lambda: shown(folder) == folder.archive.position)
    finally:
        worker.stop()
        thread.join()


def shown(folder: ErasableFolder) -> int:
    """The newest erasure that the live view knows."""
    with contextlib.closing(open_reader(folder.data.current_view())) as view:
        return int(view.execute("PRAGMA user_version").fetchone()[0])
