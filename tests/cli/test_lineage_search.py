from __future__ import annotations

import json
from pathlib import Path

import pytest
from stack_process import run_cli

from runlore.projector.views.view import View
from runlore.schemas import ArtifactVersionConsumed, ArtifactVersionProduced, EntityRef, RunStarted, StepStarted
from runlore.store.folder import DataDir
from tests.events import LogBuilder


@pytest.fixture(autouse=True)
def folder(tmp_path: Path) -> None:
    log, data = LogBuilder(), DataDir(tmp_path / "data")
    log.add(RunStarted("nightly", "nightly-1"), run="r1")
    log.add(StepStarted(), run="r1", step="load")
    log.add(ArtifactVersionProduced(EntityRef("artifact", "rows")), run="r1", step="load")
    log.add(StepStarted(), run="r1", step="train")
    log.add(ArtifactVersionConsumed(EntityRef("artifact", "rows")), run="r1", step="train")
    log.add(ArtifactVersionProduced(EntityRef("artifact", "weights")), run="r1", step="train")
    log.log("artifact:rows@1", {"about": "orders\x1b[31m of 2026", "count": 3})
    view: View = log.fold_into(data.view(1))
    view.sync_search(None)
    view.close()
    data.current.write_text("view-000001.db\n")


def test_lineage_prints_an_indented_tree_that_is_plain_when_piped() -> None:
    shown = run_cli("lineage", "artifact:weights")
    assert shown.stdout.splitlines() == [
        "artifact:weights@1",
        "  produced by step:r1/train",
        "    consumed artifact:rows@1",
        "      produced by step:r1/load",
    ]
    down = run_cli("lineage", "artifact:rows", "--downstream", "--depth", "1")
    assert down.stdout.splitlines() == ["artifact:rows@1", "  consumed by step:r1/train"]
    both = run_cli("lineage", "step:r1/train", "--both", "--as-of", "5")
    assert both.stdout.splitlines() == [
        "# upstream", "step:r1/train", "  consumed artifact:rows@1", "    produced by step:r1/load",
        "# downstream", "step:r1/train",
    ]  # fmt: skip
    cut = run_cli("lineage", "artifact:weights", "--max-nodes", "2")
    assert "only the nearest 2" in cut.stderr


def test_lineage_as_json_has_nodes_and_edges() -> None:
    found = json.loads(run_cli("lineage", "artifact:weights", "--json").stdout)
    assert found["nodes"][0] == found["root"] == "artifact:weights@1"
    assert len(found["edges"]) == 3
    both = json.loads(run_cli("lineage", "run:nightly", "--both", "--json").stdout)
    assert {len(both["upstream"]["nodes"]), len(both["downstream"]["nodes"])} == {5}
    assert run_cli("lineage", "artifact:nobody").returncode == 3


def test_search_prints_places_and_their_texts() -> None:
    found = run_cli("search", "orders", "of")
    assert found.stdout.splitlines() == ["entity\tin\tpath\ttext", "artifact:rows@1\tmetadata\tabout\torders\\x1b[31m of 2026"]  # fmt: skip
    whole = json.loads(run_cli("search", "count", "--json").stdout)
    assert whole["position"] == 7
    assert [(hit["reference"], hit["path"], hit["snippet"]) for hit in whole["hits"]] == [("artifact:rows@1", "count", "3")]  # fmt: skip
    assert json.loads(run_cli("search", "rows", "--kind", "run", "--json").stdout)["hits"] == []
    assert run_cli("search", '"*', "AND").returncode == 0
