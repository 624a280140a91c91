"""The past of a view lies in stretches of the log: where they begin and end shows in no answer."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from runlore.projector.views.digest import view_digest
from runlore.projector.views.view import View
from runlore.store.folder import DataDir
from runlore.store.stretches import HISTORY_BITS, VALUE_BITS
from tests.events import EPOCH, LogBuilder
from tests.query.views import client_of

ROOT = Path(__file__).parents[2]
BORDER = 1 << HISTORY_BITS


def run_with_small_stretches(*tests: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.small_stretches", "-p", "no:cacheprovider", "-q", "-x", *tests],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]


@pytest.mark.slow
def test_every_read_of_the_past_says_the_same_over_many_stretches() -> None:
    run_with_small_stretches("tests/query/test_past_model.py", "tests/query/test_watch.py", "-k", "model or resume")


@pytest.mark.slow
def test_all_of_the_query_library_says_the_same_over_many_stretches() -> None:
    # The work of a search grows with the stretches, and these are a quarter as many as the events.
    costs = "tests/query/test_find_plans.py::test_work_does_not_grow_with_the_entities"
    run_with_small_stretches("tests/query", "--deselect", "tests/query/test_stretches.py", "--deselect", costs)


def across_the_border() -> LogBuilder:
    """Twelve events, of which the first five are in one stretch of history and the rest in the next."""
    log = LogBuilder(first=BORDER - 5)
    for number in range(12):
        log.log("model:m@1", {"k": number, "early" if number < 2 else "late": number})
    return log


def test_a_past_that_crosses_a_border_is_whole(tmp_path: Path) -> None:
    assert BORDER % (1 << VALUE_BITS) == 0
    client = client_of(tmp_path, lambda log: log.take(across_the_border()))
    model = client.get("model:m@1")
    assert [entry.value for entry in model.history("k")] == list(range(12))
    assert [entry.value for entry in model.history("k", 3)] == [9, 10, 11]
    assert [entry.previous for entry in model.history("k", since=BORDER)] == list(range(4, 11))
    assert [model.as_of(position).metadata["k"] for position in range(BORDER - 5, BORDER + 7)] == list(range(12))
    assert model.as_of(BORDER + 3).metadata["early"] == 1
    assert model.series("k").values == list(range(12))
    assert [change.entry.value for change in client.watch(since=BORDER - 3, timeout=0) if change.entry.key == "k"] == [
        *range(3, 12)
    ]
    assert client.find("model", "ever(k = 2)") == [model]
    assert [found.reference for found in client.find("model", "k = 2", as_of=BORDER - 3)] == ["model:m@1"]
    assert client.find("model", "k = 2") == []


def test_a_search_sees_what_its_index_does_not_hold_yet(tmp_path: Path) -> None:
    client = client_of(tmp_path, lambda log: [log.log(f"model:m{n}@1", {"k": n, "other": n}) for n in range(3)])
    path = DataDir(tmp_path).current_view()
    assert client.scope.reader.one("SELECT position FROM value_state") == (0,)  # four thousand events behind
    assert [found.name for found in client.find("model", "k >= 1", order_by="k", descending=True)] == ["m2", "m1"]
    view = View.open(path)
    view.follow_values(0)
    more = LogBuilder(first=4)
    more.log("model:m0@1", {"k": 9})
    more.log("model:m2@1", {"k": -1})
    view.fold(more.rows)
    view.close()
    assert client.scope.reader.one("SELECT position FROM value_state") == (3,)
    assert [found.name for found in client.find("model", "k >= 1", order_by="k")] == ["m1", "m0"]
    assert [found.name for found in client.find("model", order_by="k", limit=2)] == ["m2", "m1"]
    assert [found.name for found in client.find("model", "k < 1")] == ["m2"]
    # What was so once is found in history, before the border as well as after it.
    for then, fit in ((3, {"m0", "m1", "m2"}), (4, {"m1", "m2"}), (5, {"m1"})):
        assert {found.name for found in client.find("model", "k >= 0 and k < 3", as_of=then)} == fit
    for value, name in ((0, "m0"), (2, "m2"), (9, "m0"), (-1, "m2")):
        assert [found.name for found in client.find("model", f"ever(k = {value})")] == [name]
    assert client.find("model", "ever(k = 9)", as_of=3) == []


def test_values_that_were_the_same_before_are_found_as_of_each_moment(tmp_path: Path) -> None:
    client = client_of(
        tmp_path, lambda log: [log.log("model:m@1", {"k": value}) for value in (7, 8, 7, 7.0, True, [7])]
    )
    view = View.open(DataDir(tmp_path).current_view())
    view.follow_values(0)
    view.close()
    found = [position for position in range(1, 7) if client.find("model", "k = 7", as_of=position)]
    assert found == [1, 3, 4]
    assert [bool(client.find("model", "ever(k = true)", as_of=position)) for position in (4, 5)] == [False, True]


def test_the_digest_does_not_depend_on_how_far_the_index_of_values_is(tmp_path: Path) -> None:
    log = across_the_border()
    log.fold_into(tmp_path / "whole.db").close()
    view = View.create(tmp_path / "parts.db", EPOCH)
    for row in log.rows:
        view.fold([row])
        view.follow_values(0)
    view.close()
    assert view_digest(tmp_path / "whole.db") == view_digest(tmp_path / "parts.db")
