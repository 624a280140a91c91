from __future__ import annotations

import importlib
import math
from pathlib import Path
from typing import Any

import pytest

import runlore.query
from runlore.query import Client
from runlore.schemas.errors import RunloreError
from tests.events import LogBuilder
from tests.query.views import client_of

HOSTILE = "<script>alert('x')</script><img src=x onerror=alert(1)>\"'&"


def hostile_log(log: LogBuilder) -> None:
    log.log("model:m@1", {HOSTILE: HOSTILE, "g": {HOSTILE: [HOSTILE]}})
    log.log("model:m@2", {HOSTILE: "other"})


def test_hostile_metadata_is_only_ever_text_in_html(tmp_path: Path) -> None:
    client = client_of(tmp_path, hostile_log)
    model = client.get("model:m@1")
    shown: list[Any] = [model, model.history((HOSTILE,)), model.history("g"), client.compare([model, "model:m@2"])]
    for thing in shown:
        html = thing._repr_html_()
        assert "<script" not in html
        assert "<img" not in html
        assert "&lt;script&gt;" in html


def test_what_differs_comes_first_and_types_are_told_apart(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        log.log("model:m@1", {"same": math.nan, "text": ["1"], "flag": True, "gone": 1, "g": {"x": 1, "y": 2}})
        log.log("model:m@2", {"same": math.nan, "text": [1], "flag": 1, "g": {"x": 1, "y": 3}})

    comparison = client_of(tmp_path, write).compare(["model:m@1", "model:m@2"])
    assert [(row.path, row.differs) for row in comparison.rows] == [
        ("text", True), ("flag", True), ("gone", True), ("g.y", True), ("same", False), ("g.x", False),
    ]  # fmt: skip
    gone = comparison.rows[2]
    assert (gone.values, gone.present) == ((1, None), (True, False))
    assert comparison.to_dict()["gone"] == {"model:m@1": 1}


def test_a_diff_of_one_entity_at_two_moments_says_what_changed(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        log.log("model:m@1", {"kept": 1, "moved": 1, "g": {"out": 1}})
        log.log("model:m@1", {"moved": 2, "g": {"into": 1}})

    client = client_of(tmp_path, write)
    model = client.get("model:m@1")
    assert {item.path: (item.change, item.before, item.after) for item in client.diff(model.as_of(1), model)} == {
        "moved": ("changed", 1, 2),
        "g.out": ("removed", 1, None),
        "g.into": ("added", None, 1),
        "kept": ("equal", 1, 1),
    }


def test_histories_and_comparisons_go_to_pandas_on_demand(tmp_path: Path) -> None:
    client = client_of(tmp_path, hostile_log)
    frame = client.get("model:m@1").history("g").to_pandas()
    assert list(frame["value"]) == [{HOSTILE: [HOSTILE]}]
    assert list(client.compare(["model:m@1", "model:m@2"]).to_pandas().columns) == ["model:m@1", "model:m@2"]
    assert client.get("model:m@1").history("g").to_dict()[0]["actor"]["user"] == "ada"


def test_without_pandas_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str, *_: Any) -> Any:
        raise ModuleNotFoundError(name=name)

    history = client_of(tmp_path, hostile_log).get("model:m@1").history("g")
    monkeypatch.setattr(importlib, "import_module", absent)
    with pytest.raises(RunloreError, match="pip install pandas"):
        history.to_pandas()


def test_the_public_names_are_these() -> None:
    assert runlore.query.__all__ == [
        "ArtifactVersion", "AsyncWatch", "Change", "Client", "Comparison", "Difference", "Differences", "Edge", "Entity",
        "Entry", "Feed", "Found", "Frame", "History", "Hit", "Hits", "Lineage", "LoggedEvent", "Metadata", "ModelVersion",
        "PipelineRun", "Series", "SignedCheckpoint", "StepRun", "Watch", "decoding_at_most", "difference_record",
        "entity_record", "entry_record", "logged_record", "parse_when", "plain", "whole_record",
    ]  # fmt: skip
    assert all(hasattr(runlore.query, name) for name in runlore.query.__all__)
    assert runlore.query.Client is Client
