from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from runlore.schemas import EntityRef, MetadataRetracted, RunStarted, StepStarted
from tests.events import LogBuilder
from tests.query.views import client_of


def write(log: LogBuilder) -> None:
    log.log("model:churn@1", {"accuracy": 0.5, "metrics": {"auc": float("nan"), "n": 2**70}, "evil": "\x1b[31mred"})
    log.log("model:churn@2", {"accuracy": 0.75})
    log.log("model:churn@1", {"accuracy": 0.625})
    log.add(MetadataRetracted((EntityRef("model", "churn", "1"),), (("evil",),), "hostile"))
    log.add(RunStarted("nightly", "nightly-1"), run="0190-aa")
    log.add(StepStarted(), run="0190-aa", step="train")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    client_of(tmp_path, write).close()
    return tmp_path


def run(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runlore.cli", *words, "--data-dir", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, timeout=90)


def read_json(folder: Path, *words: str) -> Any:
    done = run(folder, *words, "--json")
    assert done.returncode == 0, done.stderr
    # Python's own decoder takes NaN; other programs do not.
    return json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_show_says_values_types_and_who_also_in_valid_json(folder: Path) -> None:
    shown = read_json(folder, "show", "model:churn@1")
    assert shown["metadata"]["accuracy"]["value"] == 0.625
    assert shown["metadata"]["metrics"]["value"] == {"auc": "nan", "n": str(2**70)}
    assert shown["metadata"]["accuracy"]["actor"]["user"] == "ada"
    assert "evil" not in shown["metadata"]
    assert read_json(folder, "show", "model:churn@1", "--as-of", "2")["metadata"]["accuracy"]["value"] == 0.5


def test_show_of_a_run_names_its_steps_and_their_status(folder: Path) -> None:
    for reference in ("run:nightly", "run:0190"):
        text = run(folder, "show", reference).stdout
        assert "train" in text
        assert "running" in text


def test_no_control_character_of_a_value_reaches_the_terminal(folder: Path) -> None:
    for words in (("show", "model:churn@1", "--as-of", "1"), ("history", "model:churn@1", "evil")):
        done = run(folder, *words)
        assert "red" in done.stdout
        assert "\x1b" not in done.stdout


def test_history_shows_every_value_and_how_it_ended(folder: Path) -> None:
    found = read_json(folder, "history", "model:churn@1", "accuracy")
    assert [(entry["position"], entry["value"]) for entry in found] == [(1, 0.5), (3, 0.625)]
    assert [entry["position"] for entry in read_json(folder, "history", "model:churn@1", "accuracy", "-n", "1")] == [3]
    [_, ended] = read_json(folder, "history", "model:churn@1", "evil")
    assert (ended["type"], ended["value"], ended["reason"]) == ("retracted", None, "hostile")


def test_list_and_compare_read_the_same_entities(folder: Path) -> None:
    assert read_json(folder, "list")["model"] == 2
    assert [row["reference"] for row in read_json(folder, "list", "model")] == ["model:churn@2", "model:churn@1"]
    compared = read_json(folder, "compare", "model:churn@1", "model:churn@2")
    assert compared["accuracy"] == {"model:churn@1": 0.625, "model:churn@2": 0.75}
    assert "≠" in run(folder, "compare", "model:churn@1", "model:churn@2").stdout


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (("show", "model:unknown"), 3),
        (("show", "no-kind"), 2),
        (("history", "model:churn@1", "unknown"), 3),
        (("show", "run:nowhere"), 3),
        (("show", "model:churn", "--as-of", "lunch"), 2),
    ],
)
def test_what_is_not_there_and_what_is_not_understood_have_exit_codes(
    folder: Path, words: tuple[str, ...], code: int
) -> None:
    done = run(folder, *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert "Traceback" not in done.stderr


def test_find_shows_the_keys_of_the_filter_and_pages_on(folder: Path) -> None:
    done = run(folder, "find", "model", "accuracy > 0.5 and version >= 1", "--order-by", "accuracy", "--desc")
    header, *rows = (line.split("\t") for line in done.stdout.splitlines())
    assert header == ["entity", "accuracy", "version", "created"]
    assert [row[:3] for row in rows] == [["model:churn@2", "0.75", "2"], ["model:churn@1", "0.625", "1"]]
    first = run(folder, "find", "model", "-n", "1", "--columns", "metrics.n,missing")
    assert first.stdout.splitlines()[1].split("\t")[:3] == ["model:churn@2", "", ""]
    cursor = first.stderr.split("--after ")[1].split()[0]
    second = read_json(folder, "find", "model", "-n", "1", "--after", cursor)
    assert ([row["reference"] for row in second["entities"]], second["cursor"]) == (["model:churn@1"], None)
    assert second["position"] == 6


def test_find_reads_as_of_and_takes_several_filters_and_any_kind(folder: Path) -> None:
    def references(*words: str) -> list[str]:
        return [row["reference"] for row in read_json(folder, "find", *words)["entities"]]

    assert references("model", "accuracy = 0.5", "--as-of", "1") == ["model:churn@1"]
    assert references("model", "accuracy:gte:0.6", "evil") == []
    assert references("model", "accuracy:gte:0.6", "name:equals:churn") == ["model:churn@2", "model:churn@1"]
    assert references("any", "pipeline = 'nightly'") == ["step:0190-aa/train", "pipeline:nightly", "run:0190-aa"]


def test_a_wrong_filter_is_wrong_usage_and_shows_where(folder: Path) -> None:
    done = run(folder, "find", "model", "accuracy > high")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith("accuracy > high\n             ^\n")
    assert run(folder, "find", "model", "--after", "x").returncode == 2
