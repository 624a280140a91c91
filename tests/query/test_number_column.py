"""The SQL views have numbers as numbers."""

from __future__ import annotations

import decimal
from pathlib import Path
from typing import Any

from runlore.schemas import StorageSize
from runlore.store.folder import DataDir
from runlore.store.sqlite import open_reader
from tests.events import LogBuilder
from tests.query.views import client_of

LOGGED: dict[str, Any] = {
    "int": 3, "float": 0.5, "size": StorageSize(7), "large": 2**70, "decimal": decimal.Decimal("-1.5"),
    "nan": float("nan"), "inf": float("inf"), "bool": True, "text": "9", "list": [1],
}  # fmt: skip


def test_the_sql_views_have_numbers_beside_their_text(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        log.log("model:m@1", LOGGED)

    client_of(tmp_path, write).close()
    with open_reader(DataDir(tmp_path).current_view()) as view:
        for table in ("current_metadata", "metadata_history"):
            found = dict(view.execute(f"SELECT key, number FROM {table}").fetchall())
            assert found == {
                "int": 3, "float": 0.5, "size": 7, "large": 2.0**70, "decimal": -1.5, "inf": float("inf"),
                "nan": None, "bool": None, "text": None, "list": None,
            }  # fmt: skip
