"""docs/query.md is true: its blocks run in order on one log, and print what the page shows."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import re
from pathlib import Path
from typing import Any

import pytest

from runlore.schemas import EntityRef, MetadataRetracted, ModelStageChanged, StorageSize
from tests.events import LogBuilder
from tests.query.views import client_of

PAGE = Path(__file__).parent.parent.parent / "docs" / "query.md"
_EXAMPLE = re.compile(r"```python\n(.*?)```\n\n```text\n(.*?)```", re.DOTALL)
TUESDAY = dt.datetime(2026, 3, 3, 18, tzinfo=dt.UTC)


def write(log: LogBuilder) -> None:
    churn, fraud = EntityRef("model", "churn", "1"), EntityRef("model", "fraud", "1")
    log.log("model:churn@1", {"metrics": {"accuracy": 0.91, "loss": 0.25}, "size": StorageSize(12_000_000)})
    log.log("model:fraud@1", {"metrics": {"accuracy": 0.97, "loss": 0.0625}})
    log.log("model:ranking@1", {"metrics": {"accuracy": 0.7}})
    log.add(ModelStageChanged(churn, "production"))
    log.add(ModelStageChanged(fraud, "production"))
    log.add(ModelStageChanged(EntityRef("model", "ranking", "1"), "staging"))
    log.log("model:churn@2", {"metrics": {"accuracy": 0.94, "loss": 0.125}, "size": StorageSize(15_000_000)})
    log.log("model:churn@1", {"metrics": {"accuracy": 0.88}}, merge=True)
    log.add(ModelStageChanged(EntityRef("model", "churn", "2"), "production"))
    log.add(MetadataRetracted((fraud,), (("metrics", "accuracy"),), "test set leaked into training"))


def shift(log: LogBuilder) -> None:
    """Seven events by Tuesday evening, the others the day after."""
    write(log)
    for index, row in enumerate(log.rows):
        moment = TUESDAY + dt.timedelta(hours=index - 6 if index < 7 else index + 10)
        log.rows[index] = row._replace(recorded_ns=int(moment.timestamp() * 1e9))


def test_every_example_of_the_page_prints_what_the_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    client_of(tmp_path, shift).close()
    monkeypatch.setenv("RUNLORE_DATA_DIR", str(tmp_path))
    text = PAGE.read_text()
    examples = _EXAMPLE.findall(text)
    assert len(examples) == text.count("```python")
    names: dict[str, Any] = {}
    for code, shown in examples:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, names)
        assert printed.getvalue() == shown
