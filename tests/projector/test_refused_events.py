"""Events that no producer of ours can emit are quarantined with the reason; what could be emitted before still folds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from view_tools import current, query

from runlore.schemas import (
    EntityRef,
    Fact,
    MetadataLogged,
    MetadataRetracted,
    ModelStageChanged,
    NoteAdded,
    RunStarted,
)
from tests.events import LogBuilder

MODEL = EntityRef("model", "m", "1")


def quarantine(path: Path) -> list[tuple[Any, ...]]:
    return query(path, "SELECT position, stage, error FROM quarantine ORDER BY position")


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


@pytest.mark.parametrize(
    ("fact", "where", "reason"),
    [
        (MetadataLogged((EntityRef("<script>", "m"),), {"k": 2}), {}, "kind '<script>'"),
        (MetadataLogged((EntityRef("model", ""),), {"k": 2}), {}, "name must be a non-empty string"),
        (MetadataLogged((EntityRef("model", "a\nb"),), {"k": 2}), {}, "control characters"),
        (MetadataLogged((EntityRef("model", "x" * 300_000),), {"k": 2}), {}, "name of 300000 bytes; at most 200"),
        (MetadataLogged((EntityRef("model", "m", ""),), {"k": 2}), {}, "version must be a non-empty string"),
        (MetadataLogged((EntityRef("run", "r", "1"),), {"k": 2}), {}, "a run has no version"),
        (MetadataLogged((EntityRef("step", "s"),), {"k": 2}), {}, "needs a run"),
        (MetadataLogged((), {"k": 2}), {}, "no entities"),
        (MetadataLogged((MODEL,), {"k": deep(40)}), {}, "nested deeper than 32 levels"),
        (MetadataLogged((MODEL,), {"x" * 70_000: 2}), {}, "a key of 70,000 bytes"),
        (MetadataLogged((MODEL,), {"k": 2}), {"run": "\x00"}, "control characters"),
        (MetadataLogged((MODEL,), {"k": 2}), {"run": "r", "step": "x" * 300}, "step of 300 bytes"),
        (MetadataRetracted((MODEL,), ((),), "why"), {}, "not an empty one"),
        (ModelStageChanged(MODEL, "latest"), {}, "'latest' is no stage"),
        (RunStarted("", "name"), {"run": "r"}, "pipeline must be a non-empty string"),
        (RunStarted("p", "x" * 300_000), {"run": "r"}, "run name of 300000 bytes"),
        (RunStarted("p", "n", EntityRef("model", "\x7f")), {"run": "r"}, "control characters"),
        (NoteAdded((EntityRef("Model", "m"),), "x"), {}, "kind 'Model'"),
    ],
)
def test_what_no_producer_emits_is_quarantined_with_the_reason(
    tmp_path: Path, fact: Fact, where: dict[str, str], reason: str
) -> None:
    log = LogBuilder()
    log.log("model:m@1", {"k": 1})
    bad = log.add(fact, **where)
    log.log("model:m@1", {"later": 1})
    log.fold_into(tmp_path / "view.db").close()
    ((position, stage, error),) = quarantine(tmp_path / "view.db")
    assert (position, stage) == (2, "fold")
    assert reason in error
    assert len(error) < 1000
    assert query(tmp_path / "view.db", "SELECT payload FROM quarantine") == [(bad.payload,)]
    assert current(tmp_path / "view.db", "model:m@1") == {"k": 1, "later": 1}


def test_what_producers_could_emit_before_still_folds(tmp_path: Path) -> None:
    """A run's name was not checked, a step called again has a longer name than others, keys hold anything."""
    log = LogBuilder()
    log.add(RunStarted("p", "line\nbreak \x00 " + "n" * 5000), run="r" * 200, step=None)
    log.add(RunStarted("p", ""), run="other")
    log.log("model:m@1", {"k\n\x00": 1, "": {"": 2}, "x" * 5000: 3}, run="r" * 200, step="s" * 200 + "_17")
    log.log(EntityRef("data", "name", run="not a step", pipeline=""), {"k": 1})
    log.fold_into(tmp_path / "view.db").close()
    assert quarantine(tmp_path / "view.db") == []
    assert len(current(tmp_path / "view.db", "model:m@1")) == 3


def test_where_batches_end_does_not_change_what_is_refused(tmp_path: Path) -> None:
    log = LogBuilder()
    for number in range(6):
        log.log("model:m@1", {"k": number})
        log.add(NoteAdded((EntityRef("model", "x" * (198 + number)),), "n"))
    for batch in (1, 5, 100):
        log.fold_into(tmp_path / f"{batch}.db", batch).close()
        assert [row[0] for row in quarantine(tmp_path / f"{batch}.db")] == [8, 10, 12]
