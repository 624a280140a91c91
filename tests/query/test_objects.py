"""Objects of the query library in the hands of Python: pickled, copied, printed, shown in a notebook."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runlore.query import Client, Entity
from runlore.schemas import NotFoundError, RunStarted, StepStarted
from runlore.store.folder import DataDir
from tests.events import LogBuilder
from tests.query.views import client_of, fold_live

HOSTILE = "<script>alert(1)</script>"


def write(log: LogBuilder) -> None:
    log.add(RunStarted("nightly", "nightly-1"), run="r1")
    log.add(StepStarted(), run="r1", step="train")
    log.log("model:churn@1", {"accuracy": 0.5, "gone": 1, "metrics": {"auc": 0.25}})
    log.log("model:churn@2", {"accuracy": 0.75, "new": HOSTILE, "metrics": {"auc": 0.25}})
    for number in range(20):
        log.log("model:churn@2", {"loss": number})


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return client_of(tmp_path, write)


MADE: dict[str, Callable[[Client], Any]] = {
    "client": lambda client: client,
    "past client": lambda client: Client.over(client.scope.at(client.moment_of(3))),
    "model": lambda client: client.get("model:churn@2"),
    "past model": lambda client: client.get("model:churn@2").as_of(5),
    "run": lambda client: client.get_pipeline_run(),
    "step": lambda client: client.get_pipeline_run().steps["train"],
    "metadata": lambda client: client.get("model:churn@1").run_metadata,
    "entry": lambda client: client.get("model:churn@1").run_metadata["accuracy"],
    "history": lambda client: client.get("model:churn@2").history("loss"),
    "differences": lambda client: client.diff("model:churn@1", "model:churn@2"),
    "comparison": lambda client: client.compare(["model:churn@1", "model:churn@2"]),
    "series": lambda client: client.get("model:churn@2").series("loss"),
    "found": lambda client: client.find("model"),
}


def content(thing: Any) -> Any:
    """What an object tells, as values that compare."""
    match thing:
        case Client():
            return thing.project, thing.position, thing.list_kinds()
        case Entity():
            return type(thing), thing, thing.metadata, thing.fields
        case _ if hasattr(thing, "rows"):
            return thing.rows, thing.entities, thing.position, thing.parameters
        case list():
            return thing, getattr(thing, "position", None)
        case _:
            return dict(thing) if hasattr(thing, "keys") else thing


@pytest.mark.parametrize("name", MADE)
@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda thing: pickle.loads(pickle.dumps(thing))])
def test_a_copy_tells_the_same(client: Client, name: str, again: Callable[[Any], Any]) -> None:
    thing = MADE[name](client)
    assert content(again(thing)) == content(thing)
    assert type(again(thing)) is type(thing)


def test_another_process_reads_a_pickled_entity(client: Client, tmp_path: Path) -> None:
    kept = tmp_path / "kept.pickle"
    kept.write_bytes(pickle.dumps([client.get("model:churn@1"), client]))
    code = f"import pickle; m, c = pickle.loads(open({str(kept)!r}, 'rb').read()); print(m.metadata['accuracy'], c.position)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=90, check=True)
    assert done.stdout == "0.5 24\n"


def test_a_pickled_entity_is_found_again_in_another_view_by_its_name(client: Client, tmp_path: Path) -> None:
    kept = pickle.dumps(client.get("model:churn@1"))

    def write_more_first(log: LogBuilder) -> None:
        log.log("artifact:rows@1", {"n": 1})
        write(log)

    log = LogBuilder()
    write_more_first(log)
    fold_live(DataDir(tmp_path), log, generation=2)
    assert pickle.loads(kept).metadata["accuracy"] == 0.5
    empty = LogBuilder()
    empty.log("artifact:rows@1", {"n": 1})
    fold_live(DataDir(tmp_path), empty, generation=3)
    with pytest.raises(NotFoundError, match="model:churn@1"):
        pickle.loads(kept)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("client", "<Client of project 'default' in FOLDER>"),
        ("past client", "<Client of project 'default' in FOLDER as of event 3>"),
        ("model", "<model:churn@2>"),
        ("past model", "<model:churn@2 as of 5>"),
        (
            "differences",
            "<Differences from <model:churn@1> to <model:churn@2>: 2 added, 1 removed, 1 changed, 1 equal>",
        ),
        ("comparison", "<Comparison of model:churn@1, model:churn@2: 5 keys, 4 differ>"),
    ],
)
def test_a_repr_says_what_it_is(client: Client, tmp_path: Path, name: str, shown: str) -> None:
    assert repr(MADE[name](client)) == shown.replace("FOLDER", str(tmp_path))


def test_a_long_history_is_short_in_a_terminal(client: Client) -> None:
    shown = repr(MADE["history"](client))
    assert shown.startswith("[Entry(loss=0, position=5, by=ada), ... 18 more ..., Entry(loss=19")
    assert repr(client.get("model:churn@2").history("loss", 2)).count("Entry(") == 2


@pytest.mark.parametrize("name", ["client", "model", "history", "differences", "comparison", "run"])
def test_a_notebook_shows_text_only(client: Client, name: str) -> None:
    html = MADE[name](client)._repr_html_()
    assert "<table>" in html
    assert "<script" not in html
    assert (HOSTILE.replace("<", "&lt;").replace(">", "&gt;") in html) == (
        name in ("model", "differences", "comparison")
    )


def test_a_client_of_nothing_says_so_in_a_notebook(tmp_path: Path) -> None:
    assert "nothing to read in" in Client(tmp_path / "nothing")._repr_html_()
