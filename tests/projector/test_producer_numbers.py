"""Missing events are those whose numbers never came: no number that another program claims hides or invents them."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from view_tools import folded, query

from runlore.projector.fold.producer_count import MAX_JUMP, MAX_RANGES, ProducerCount
from runlore.projector.views.digest import view_digest
from runlore.schemas import Actor
from tests.events import LogBuilder

STATE = "SELECT highest_seq, missing, late, implausible FROM producers ORDER BY producer_id"
HUGE = 2**53


def view_of(tmp_path: Path, numbers: list[int], batch: int = 1000) -> Path:
    log = LogBuilder()
    for number in numbers:
        log.log("artifact:a@1", {"k": number}, producer_seq=number)
    return folded(log, tmp_path, batch)


@pytest.mark.parametrize(
    ("numbers", "state"),
    [
        ([1, 2, 3], (3, 0, 0, 0)),
        ([1, 2, 5, 4], (5, 1, 1, 0)),
        ([1, 5, *[5] * 10], (5, 3, 10, 0)),  # repeated: it was -7 missing
        ([1, 5, *[1] * 10], (5, 3, 10, 0)),
        ([1, HUGE, 2, 3], (3, 0, 0, 1)),  # huge: it was 2**53 - 4 missing
        ([HUGE, 1, 2, 3], (3, 0, 0, 1)),
        ([1, 500, *range(2, 500)], (500, 0, 498, 0)),  # claimed ahead: the true numbers fill the gap
        ([1, MAX_JUMP + 1], (MAX_JUMP + 1, MAX_JUMP - 1, 0, 0)),
        ([1, MAX_JUMP + 2], (1, 0, 0, 1)),
    ],
)
def test_numbers_count_once_and_no_number_loses_an_event(
    tmp_path: Path, numbers: list[int], state: tuple[int, ...]
) -> None:
    path = view_of(tmp_path, numbers)
    assert query(path, STATE) == [state]
    assert query(path, "SELECT count(*) FROM events") == [(len(numbers),)]
    assert query(path, "SELECT count(*) FROM quarantine") == [(0,)]


def test_a_producer_s_name_in_another_project_is_another_producer(tmp_path: Path) -> None:
    ours, theirs = LogBuilder("ours"), LogBuilder("theirs")
    ours.log("artifact:a@1", {"k": 1}, producer_id="p", producer_seq=1)
    for number in (1000, 900):
        theirs.rows = ours.rows  # one log
        theirs.log("artifact:a@1", {"k": 1}, producer_id="p", producer_seq=number)
    ours.log("artifact:a@1", {"k": 1}, producer_id="p", producer_seq=2)
    path = folded(ours, tmp_path)
    assert query(path, "SELECT project, missing FROM producers ORDER BY project") == [("ours", 0), ("theirs", 998)]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"producer_seq": 0}, "producer_seq must be from 1"),
        ({"producer_seq": -5}, "producer_seq must be from 1"),
        ({"producer_seq": HUGE + 1}, "producer_seq must be from 1"),
        ({"producer_seq": 2**64 - 1}, "producer_seq must be from 1"),
        ({"actor": Actor("u", "h", 2**64 - 1, "l")}, "pid must be from 0"),
        ({"actor": Actor("u" * 10_001, "h", 1, "l")}, "user of 10001 bytes"),
        ({"actor": Actor("u", "h" * 10_001, 1, "l")}, "host of 10001 bytes"),
    ],
)
def test_an_envelope_that_no_producer_writes_is_quarantined_with_the_reason(
    tmp_path: Path, changes: dict[str, object], reason: str
) -> None:
    log = LogBuilder()
    log.log("artifact:a@1", {"k": 1}, **changes)
    log.log("artifact:a@1", {"k": 2})
    path = folded(log, tmp_path)
    ((error,),) = query(path, "SELECT error FROM quarantine")
    assert reason in error
    assert query(path, "SELECT position FROM events") == [(2,)]


numbers = st.one_of(st.integers(1, 60), st.integers(1, 2 * MAX_JUMP), st.just(HUGE))


@settings(max_examples=300, deadline=None)
@given(st.lists(numbers, max_size=150), st.sets(st.integers(0, 150)))
def test_the_count_is_that_of_the_set_of_all_plausible_numbers(claimed: list[int], restarts: set[int]) -> None:
    count, came = ProducerCount(1, "p", "producer", 1), {0}
    forgotten = False
    for at, number in enumerate(claimed):
        if at in restarts:
            count = ProducerCount.from_row(count.row())
        if number <= max(came) + MAX_JUMP:
            came.add(number)
        count.count(number, at + 1)
        ranges = sum(number - 1 not in came for number in came)
        forgotten = forgotten or ranges > MAX_RANGES
        truly = max(came) + 1 - len(came)
        assert count.row()[5] == max(came)
        assert len(count.row()[-1].split()) <= 2 * MAX_RANGES
        assert truly <= count.missing <= max(came) if forgotten else count.missing == truly
    assert count.seen == len(claimed)


@settings(max_examples=20, deadline=None)
@given(
    st.lists(st.one_of(st.integers(1, 30), st.integers(1, 2 * MAX_JUMP)), min_size=1, max_size=60), st.integers(1, 7)
)
def test_where_batches_end_and_a_restart_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, claimed: list[int], batch: int
) -> None:
    folder = tmp_path_factory.mktemp("views")
    log = LogBuilder()
    for number in claimed:
        log.log("artifact:a@1", {"k": number}, producer_seq=number)
    whole, parts = folder / "whole.db", folder / "parts.db"
    log.fold_into(whole).close()
    middle = LogBuilder()
    middle.rows = log.rows[: len(log.rows) // 2]
    middle.fold_into(parts, batch).close()
    log.fold_into(parts, batch, after=len(middle.rows)).close()
    assert view_digest(whole) == view_digest(parts)


def test_more_producers_than_are_remembered_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runlore.projector.fold.rows.MAX_CACHED_ENTITIES", 5)
    log = LogBuilder()
    for number in range(1, 4):
        for name in range(20):
            log.log("artifact:a@1", {"k": 1}, producer_id=f"p{name}", producer_seq=number)
    path = folded(log, tmp_path, batch=3)
    assert query(path, "SELECT count(*), sum(seen), sum(missing) FROM producers") == [(20, 60, 0)]
