"""docs/dashboard.md is true: its query runs on a view as it is."""

from __future__ import annotations

from pathlib import Path

from runlore.query import Client
from runlore.store.folder import DataDir
from runlore.store.sqlite import sqlite

PAGE = Path(__file__).parents[2] / "docs" / "dashboard.md"


def test_the_query_for_datasette_gives_what_the_library_finds(demo: Client, tmp_path: Path) -> None:
    query = PAGE.read_text().split("```sql\n")[1].split("```")[0]
    address = f"{DataDir(tmp_path / 'demo').current_view().as_uri()}?mode=ro"
    rows = sqlite.connect(address, uri=True).execute(query).fetchall()
    best = demo.find("model", order_by="metrics.accuracy", descending=True)
    assert rows == [(model.reference, model.metadata["metrics"]["accuracy"]) for model in best]
    assert len(rows) == 3
