"""What the commands that write say about a likely typo; no server: the events wait in the outbox."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from runlore.cli.app import app
from runlore.producer import configure, set_model_stage
from runlore.schemas.errors import InvalidReferenceError
from tests.events import LogBuilder
from tests.query.views import client_of


def write(log: LogBuilder) -> None:
    log.log("model:m@1", {"loss": 0.5, "g": {"x": 1}, "train.loss": 1})


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    client_of(tmp_path, write).close()
    monkeypatch.setenv("RUNLORE_MODE", "offline")
    return tmp_path


def run(folder: Path, *words: str) -> Result:
    try:
        return CliRunner().invoke(app, [*words, "--data-dir", str(folder)])
    finally:
        configure(mode="disabled")


def test_a_retraction_of_what_is_not_known_retracts_nothing(folder: Path) -> None:
    result = run(folder, "retract", "model:m@77", "loss", "--reason", "typo")
    assert (result.exit_code, result.stdout) == (3, "")
    assert "nothing was retracted: " in result.stderr


def test_a_retraction_of_what_does_not_hold_says_so(folder: Path) -> None:
    result = run(folder, "retract", "model:m@1", "los", "g.x", "train.loss", "--reason", "typo")
    assert result.exit_code == 0, result.output
    assert "los is not set on model:m@1: there is nothing to retract" in result.stderr
    assert result.stderr.count("is not set") == 1


@pytest.mark.parametrize("words", [("note", "model:m@77", "fine"), ("stage", "model:m@77", "production")])
def test_a_new_version_that_a_note_or_stage_makes_is_told(folder: Path, words: tuple[str, ...]) -> None:
    result = run(folder, *words)
    assert result.exit_code == 0, result.output
    assert "Created model:m@77 (it did not exist)" in result.stderr
    known = run(folder, words[0], "model:m@1", words[2])
    assert "not known" not in known.stderr


def test_without_a_view_nothing_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUNLORE_MODE", "offline")
    for words in (("note", "model:m", "x"), ("retract", "model:m", "k", "--reason", "x")):
        result = run(tmp_path, *words)
        assert result.exit_code == 0
        assert "known" not in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("retract", "model:m@1", "loss", "--reason", " "),
        ("note", "model:m@1", " "),
        ("stage", "model:m@1", "production", "--reason", ""),
        ("stage", "model:m@1", "latest"),
        ("stage", "model:m@1", "3"),
        ("log", "model:m@1", "a..b=1"),
        ("log", "model:m@1", ".a=1"),
        ("log", "model:m@1", "a.=1"),
    ],
)
def test_what_says_nothing_is_wrong_usage(folder: Path, words: tuple[str, ...]) -> None:
    result = run(folder, *words)
    assert (result.exit_code, result.stdout) == (2, ""), result.output


@pytest.mark.parametrize("stage", ["latest", "7"])
def test_a_stage_that_could_not_be_meant_is_refused(stage: str) -> None:
    with pytest.raises(InvalidReferenceError, match="is no stage"):
        set_model_stage("m", stage)
