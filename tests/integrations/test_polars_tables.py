"""Answers as tables of other libraries, and the history as Parquet: the values are those of the library itself."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb
import polars
import pyarrow
import pyarrow.parquet
import pytest
from click.testing import CliRunner

from runlore.cli.app import app
from runlore.query import Client
from runlore.query.frames import Frame
from runlore.schemas import EntityRef, MetadataLogged, RunStarted, StorageSize
from runlore.schemas.values import pack_metadata
from tests.events import LogBuilder
from tests.query.views import client_of

pytestmark = pytest.mark.slow
NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)


def _log(log: LogBuilder) -> None:
    for number in range(3):
        run = EntityRef("run", f"r{number}")
        log.add(RunStarted("train", f"run {number}", parameters=pack_metadata({"lr": 0.1 * number})), run.name)
        log.add(
            MetadataLogged((run,), pack_metadata({"loss": 1 / (number + 1), "sizes": [1, 2]}), at_step=number), run.name
        )


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return client_of(tmp_path, _log)


def test_columns_have_types_and_lists_stay_lists() -> None:
    table = Frame({
        "int": [1, None], "float": [0.5, 1], "bool": [True, None], "text": ["a", None], "time": [NOON, None],
        "date": [NOON.date(), None], "seconds": [dt.timedelta(seconds=1), None], "bytes": [b"x", None],
        "list": [[1, 2], None], "mixed": [1, "a"], "size": [StorageSize(5), None],
    }).to_arrow()  # fmt: skip
    assert {field.name: str(field.type) for field in table.schema} == {
        "int": "int64", "float": "double", "bool": "bool", "text": "string", "time": "timestamp[us, tz=UTC]",
        "date": "date32[day]", "seconds": "duration[us]", "bytes": "binary", "list": "list<item: int64>",
        "mixed": "string", "size": "int64",
    }  # fmt: skip
    assert table["time"].to_pylist() == [NOON, None]
    assert table["list"].to_pylist() == [[1, 2], None]


def test_a_frame_goes_wherever_arrow_data_goes(client: Client) -> None:
    frame = client.frame("run", columns=["name", "parameters.lr", "loss", "sizes"], order_by="loss")
    assert polars.DataFrame(frame)["loss"].to_list() == frame["loss"]
    assert frame.to_polars().schema["sizes"] == polars.List(polars.Int64)
    assert pyarrow.table(frame).num_rows == 3
    found = duckdb.sql('SELECT name, "parameters.lr" FROM frame WHERE loss < 0.9 ORDER BY loss').fetchall()
    assert found == [("run 2", 0.2), ("run 1", 0.1)]
    series = client.get("run:r1").series("loss", x="step")
    assert series.to_polars()["step"].to_list() == [1]
    assert client.find("run").to_arrow().num_rows == 3


def test_everything_is_exported_as_parquet_and_the_next_part_goes_on(client: Client, tmp_path: Path) -> None:
    def export(*words: str) -> str:
        done = CliRunner().invoke(app, ["export", *words, "--data-dir", str(tmp_path)])
        assert done.exit_code == 0, done.output
        return done.stderr

    whole, first, rest = tmp_path / "all.parquet", tmp_path / "first.parquet", tmp_path / "rest.parquet"
    told = export("--format", "parquet", "--out", str(whole))
    assert f"complete to event {client.position}: go on with --after {client.position}" in told
    table = pyarrow.parquet.read_table(whole)
    changes = list(client.watch(since=0, timeout=0))
    assert table["position"].to_pylist() == [change.position for change in changes]
    assert table["path"].to_pylist() == [change.entry.path for change in changes]
    losses = duckdb.sql(
        f"SELECT reference, number, at_step FROM '{whole}' WHERE path = 'loss' ORDER BY position"
    ).fetchall()
    assert losses == [("run:r0", 1.0, 0), ("run:r1", 0.5, 1), ("run:r2", 1 / 3, 2)]
    export("--format", "parquet", "--out", str(rest), "--after", "3")
    later = pyarrow.parquet.read_table(rest)["position"].to_pylist()
    assert later == [change.position for change in changes if change.position > 3]
    export("run:r0", "--format", "parquet", "--out", str(first))
    assert set(pyarrow.parquet.read_table(first)["reference"].to_pylist()) == {"run:r0"}
    empty = tmp_path / "empty.parquet"
    export("--format", "parquet", "--out", str(empty), "--after", str(client.position))
    assert pyarrow.parquet.read_table(empty).num_rows == 0
