from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from runlore.query import Client, Lineage
from runlore.schemas import (
    ArgumentError,
    ArtifactVersionConsumed,
    ArtifactVersionProduced,
    EntityRef,
    ModelVersionCreated,
    RunStarted,
    StepStarted,
)
from tests.events import LogBuilder
from tests.query.views import client_of


class Work:
    """Says in a log what steps read and made."""

    def __init__(self, log: LogBuilder) -> None:
        self.log = log

    def step(self, run: str, step: str, reads: tuple[str, ...] = (), makes: tuple[str, ...] = ()) -> None:
        self.log.add(StepStarted(), run=run, step=step)
        for name in reads:
            self.log.add(ArtifactVersionConsumed(ref(name)), run=run, step=step)
        for name in makes:
            self.log.add(ArtifactVersionProduced(ref(name)), run=run, step=step)


def ref(text: str) -> EntityRef:
    name, _, version = text.partition("@")
    return EntityRef("artifact", name, version)


def write(log: LogBuilder) -> None:
    work = Work(log)
    log.add(RunStarted("prepare", "prepare-1"), run="r0")  # 1
    work.step("r0", "load", makes=("raw@1",))  # 2, 3
    log.add(RunStarted("nightly", "nightly-1"), run="r1")  # 4
    work.step("r1", "split", reads=("raw@1",), makes=("left@1", "right@1"))  # 5 - 8
    work.step("r1", "train", reads=("left@1", "right@1"), makes=("weights@1",))  # 9 - 12
    log.add(ModelVersionCreated(EntityRef("model", "churn")), run="r1")  # 13
    log.add(RunStarted("score", "score-1"), run="r2")  # 14
    work.step("r2", "predict", reads=("weights@1",), makes=("scores@1",))  # 15 - 17


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return client_of(tmp_path, write)


def names(found: Lineage) -> set[str]:
    return {node.reference for node in found.nodes}


def edges(found: Lineage) -> set[tuple[str, str, str, int]]:
    return {(e.source.reference, e.relation, e.target.reference, e.position) for e in found.edges}


def test_upstream_of_an_artifact_goes_through_its_step_to_what_that_consumed(client: Client) -> None:
    found = client.get("artifact:weights").upstream()
    assert names(found) == {
        "artifact:weights@1", "step:r1/train", "artifact:left@1", "artifact:right@1", "step:r1/split", "artifact:raw@1",
        "step:r0/load",
    }  # fmt: skip
    assert edges(found) == {
        ("step:r1/train", "produced", "artifact:weights@1", 12),
        ("step:r1/train", "consumed", "artifact:left@1", 10),
        ("step:r1/train", "consumed", "artifact:right@1", 11),
        ("step:r1/split", "produced", "artifact:left@1", 7),
        ("step:r1/split", "produced", "artifact:right@1", 8),
        ("step:r1/split", "consumed", "artifact:raw@1", 6),
        ("step:r0/load", "produced", "artifact:raw@1", 3),
    }
    assert not found.cut


def test_upstream_of_a_model_shows_its_run_the_steps_and_what_they_read_and_made(client: Client) -> None:
    found = client.get("model:churn").upstream()
    tree = [(level, word, entity.reference, again) for level, word, entity, again in found.tree()]
    assert tree == [
        (0, "", "model:churn@1", False),
        (1, "made by", "run:r1", False),
        (2, "ran", "step:r1/split", False),
        (3, "produced", "artifact:left@1", False),
        (3, "produced", "artifact:right@1", False),
        (3, "consumed", "artifact:raw@1", False),
        (4, "produced by", "step:r0/load", False),
        (2, "ran", "step:r1/train", False),
        (3, "produced", "artifact:weights@1", False),
        (3, "consumed", "artifact:left@1", False),
        (3, "consumed", "artifact:right@1", False),
    ]


def test_downstream_reaches_later_runs_and_the_models_they_made(client: Client) -> None:
    assert names(client.get("artifact:raw").downstream()) == {
        "artifact:raw@1", "step:r1/split", "artifact:left@1", "artifact:right@1", "step:r1/train", "artifact:weights@1",
        "run:r1", "model:churn@1", "step:r2/predict", "artifact:scores@1",
    }  # fmt: skip
    assert {"step:r1/train", "artifact:scores@1", "model:churn@1"} <= names(client.get("run:r1").downstream())
    assert names(client.get("model:churn").downstream()) == {"model:churn@1"}


def test_depth_counts_links_and_nodes_are_bounded(client: Client) -> None:
    weights = client.get("artifact:weights")
    assert [len(weights.upstream(depth).nodes) for depth in range(5)] == [1, 2, 4, 5, 6]
    cut = weights.upstream(max_nodes=3)
    assert (len(cut.nodes), cut.cut, len(cut.edges)) == (3, True, 2)
    assert "cut" in repr(cut)
    assert not weights.upstream(1).cut
    with pytest.raises(ArgumentError):
        weights.upstream(-1)


def test_lineage_is_read_as_of_a_position(client: Client, tmp_path: Path) -> None:
    assert names(client.get("artifact:left").as_of(9).downstream()) == {"artifact:left@1"}
    assert "model:churn@1" not in names(client.get("artifact:left").as_of(12).downstream())
    with Client(tmp_path, as_of=11) as past:
        found = past.get("artifact:raw").downstream()
    assert "artifact:weights@1" not in names(found)
    assert "step:r1/train" in names(found)
    assert all(node.position <= 11 for node in found.nodes)


def test_cycles_and_chains_of_any_length_end(tmp_path: Path) -> None:
    def circle(log: LogBuilder) -> None:
        work = Work(log)
        for number in range(300):
            work.step("r", f"s{number}", reads=(f"a{number}@1",), makes=(f"a{(number + 1) % 300}@1",))

    client = client_of(tmp_path, circle)
    for found in (client.get("artifact:a0").upstream(), client.get("artifact:a0").downstream()):
        assert (len(found.nodes), len(found.edges), found.cut) == (600, 600, False)
        assert len(list(found.tree())) == 601
        assert "a299" in found._repr_html_()


def test_an_artifact_knows_its_producer_and_consumers_and_a_model_its_runs(client: Client) -> None:
    artifact: Any = client.get("artifact:weights")
    assert artifact.producer.reference == "step:r1/train"
    assert [step.reference for step in artifact.consumers] == ["step:r2/predict"]
    assert artifact.as_of(13).consumers == []
    assert [run.id for run in client.get_model_version("churn").runs] == ["r1"]
    assert client.get_artifact_version("raw").as_of(3).consumers == []  # type: ignore[attr-defined]


def test_to_dict_and_html_say_the_same(client: Client) -> None:
    found = client.get("artifact:weights").upstream(1)
    assert found.to_dict() == {
        "root": "artifact:weights@1",
        "direction": "upstream",
        "nodes": ["artifact:weights@1", "step:r1/train"],
        "edges": [
            {"source": "step:r1/train", "relation": "produced", "target": "artifact:weights@1", "position": 12}
        ],
        "cut": False,
    }  # fmt: skip
    assert "produced by <b>step:r1/train</b>" in found._repr_html_()
