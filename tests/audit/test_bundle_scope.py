"""What a bundle about a model holds: what made it, what replaced it, and a word on all that it leaves out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from runlore.cli import bundling
from runlore.cli.app import app
from runlore.projector.archiving.archive import Archive
from runlore.projector.audit.keys import load_signer
from runlore.projector.views.rebuild import rebuild_view
from runlore.store.audit.leaf import origin_of
from runlore.store.folder import DataDir
from runlore.store.log_rows import Received
from tests.audit.stories import LAST
from tests.events import EPOCH, LogBuilder

MAKERS = {"artifact:rows@1": {2, 5}, "run:r1": {3, 9}, "step:r1/fit": {4, 5, 8}, "model:churn@2": {11, 12}}
"""What made and replaced model:churn@1, and the positions of the events about it."""
OWN = {3, 6, 7, 10, 12}


def bundle(data: DataDir, path: Path, *arguments: str) -> dict[str, Any]:
    """What `audit check` says of the accepted events of a new bundle."""
    done = CliRunner().invoke(app, ["audit", "bundle", *arguments, "--out", str(path), "--data-dir", str(data.root)])
    assert done.exit_code == 0, done.output
    key = load_signer(data.checkpoint_key, origin_of(EPOCH)).verifier.vkey
    checked = CliRunner().invoke(app, ["audit", "check", str(path), "--key", key, "--json"])
    record: dict[str, Any] = json.loads(checked.stdout)
    record["accepted"] = {event["position"] for event in record["events"] if event["effect"] == "accepted"}
    assert [f"left out {text}" for text in record["not_proved"]["left_out"]] == done.stderr.splitlines()[-1 - len(
        record["not_proved"]["left_out"]):-1]  # fmt: skip
    return record


def test_a_model_comes_with_its_run_steps_data_and_successor(story: DataDir, tmp_path: Path) -> None:
    found = bundle(story, tmp_path / "bundle", "model:churn@1")
    assert found["accepted"] == OWN.union(*MAKERS.values())
    assert found["not_proved"]["related"] == [
        "model:churn@1 made by run:r1",
        "run:r1 ran step:r1/fit",
        "step:r1/fit consumed artifact:rows@1",
        "model:churn@2 took stage production after model:churn@1",
    ]
    assert "beyond depth 3: step:r0/load, and what made them" in found["not_proved"]["left_out"]


def test_depth_says_how_far(story: DataDir, tmp_path: Path) -> None:
    none = bundle(story, tmp_path / "0", "model:churn@1", "--depth", "0")
    assert (none["accepted"], none["not_proved"]["related"]) == (OWN, [])
    assert none["not_proved"]["left_out"][0] == "what made and replaced these entities: --depth 0"
    one = bundle(story, tmp_path / "1", "model:churn@1", "--depth", "1")
    assert one["accepted"] == OWN | MAKERS["run:r1"] | MAKERS["model:churn@2"]
    assert "beyond depth 1: step:r1/fit, and what made them" in one["not_proved"]["left_out"]
    further = bundle(story, tmp_path / "9", "model:churn@1", "--depth", "9")
    assert further["accepted"] == set(range(1, 13))
    assert not any("beyond depth" in text for text in further["not_proved"]["left_out"])


def test_of_a_name_with_many_versions_the_makers_of_the_newest_are_looked_up(
    story: DataDir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundling, "MAX_INSTANCES", 1)
    found = bundle(story, tmp_path / "bundle", "model:churn")
    assert "what made and replaced the first 1 versions of model:churn" in found["not_proved"]["left_out"]


def test_a_name_without_a_version_brings_what_made_each_of_its_versions(story: DataDir, tmp_path: Path) -> None:
    found = bundle(story, tmp_path / "bundle", "model:churn")
    assert found["accepted"] >= OWN.union(*MAKERS.values())
    assert found["not_proved"]["about"] == ["model:churn"]


def test_events_after_the_last_checkpoint_are_left_out_and_counted(story: DataDir, tmp_path: Path) -> None:
    data = DataDir(tmp_path / "data")
    shutil.copytree(story.root, data.root)
    later = LogBuilder(first=LAST + 1)
    later.log("model:churn@1", {"accuracy": 0.8})
    archive = Archive.open(data.log, EPOCH)
    archive.append([Received(*row[:4], b"", row.payload) for row in later.rows])
    archive.close()
    rebuild_view(data)
    found = bundle(data, tmp_path / "bundle", "model:churn@1")
    assert found["not_proved"]["left_out"][0] == "newer events, 1 in number: no checkpoint is signed for them yet"
