"""Answers as tables: columns with one type, whatever was logged, the same from pandas and from Python."""

from __future__ import annotations

import datetime as dt
import decimal
import uuid
from pathlib import Path
from typing import Any

import pandas
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runlore.query import Client
from runlore.query.frames import Frame, column_type
from runlore.schemas import (
    ArgumentError,
    EntityRef,
    MetadataLogged,
    RunFinished,
    RunStarted,
    StepStarted,
    StorageSize,
    Uri,
)
from runlore.schemas.values import pack_metadata
from tests.events import START, LogBuilder
from tests.query.views import client_of

NOON = dt.datetime(2026, 1, 2, 12, tzinfo=dt.UTC)


def _runs(log: LogBuilder) -> None:
    for number, (status, lr) in enumerate((("completed", 0.1), ("failed", 0.2), ("completed", None))):
        run = f"r{number}"
        log.add(
            RunStarted(
                "train", f"run {number}", parameters=pack_metadata({} if lr is None else {"lr": lr, "seed": number})
            ),
            run,
        )
        log.add(StepStarted(), run, "fit")
        log.add(MetadataLogged((EntityRef("step", "fit", run=run),), pack_metadata({"epochs": number})), run, "fit")
        log.add(
            MetadataLogged(
                (EntityRef("run", run),),
                pack_metadata({"m": {"loss": 0.5 / (number + 1)}, "odd": [1, "a", None][number]}),
            ),
            run,
        )
        log.add(RunFinished(status), run)  # type: ignore[arg-type]  # of the list above


def test_a_frame_has_a_row_for_each_run_and_typed_columns(tmp_path: Path) -> None:
    client = client_of(tmp_path, _runs)
    frame = client.frame("run", order_by="created")
    assert frame["reference"] == ["run:r0", "run:r1", "run:r2"]
    assert frame["name"] == ["run 0", "run 1", "run 2"]
    assert frame["m.loss"] == [0.5, 0.25, 0.5 / 3]
    assert frame["fit::epochs"] == [0, 1, 2]
    assert frame["parameters.lr"] == [0.1, 0.2, None]
    assert frame["created"][0] == START + dt.timedelta(seconds=1)
    assert len(frame) == 3
    assert frame.position == client.position
    assert "parameters" not in frame.columns
    table = frame.to_pandas()
    assert {name: str(table.dtypes[name]) for name in ("m.loss", "parameters.lr", "parameters.seed", "fit::epochs", "started_at")} == {
        "m.loss": "float64", "parameters.lr": "float64", "parameters.seed": "Int64", "fit::epochs": "int64",
        "started_at": "datetime64[us, UTC]",
    }  # fmt: skip
    assert list(table["odd"]) == [1, "a", None]  # unlike values stay as they are
    assert table.groupby("status")["m.loss"].mean()["completed"] == pytest.approx((0.5 + 0.5 / 3) / 2)


def test_columns_filters_limits_and_moments(tmp_path: Path) -> None:
    client = client_of(tmp_path, _runs)
    wanted = ["m.loss", "status", "parameters.lr", "nobody has this"]
    frame = client.frame("run", "status = 'completed'", columns=wanted, order_by="m.loss", descending=True)
    assert frame.columns == wanted
    assert list(frame.rows()) == [(0.5, "completed", 0.1, None), (0.5 / 3, "completed", None, None)]
    assert client.frame("run", limit=1)["reference"] == ["run:r2"]
    past = client.frame("run", as_of=4, columns=["reference", "status", "m.loss"])
    assert past.to_dicts() == [{"reference": "run:r0", "status": "running", "m.loss": 0.5}]
    assert client.find("run", "status = 'failed'").to_frame(["name"]).to_dicts() == [{"name": "run 1"}]
    runs = [client.get("run:r1"), client.get("run:r0", as_of=3)]
    assert client.table(runs, ["reference", "m.loss", "status"]).to_dicts() == [
        {"reference": "run:r1", "m.loss": 0.25, "status": "failed"},
        {"reference": "run:r0", "m.loss": None, "status": "running"},
    ]
    assert client.table(["run:r1"], ["name"])["name"] == ["run 1"]
    none = client.frame("dataset")
    assert (len(none), none.columns, len(none.to_pandas())) == (0, ["reference", "name", "version", "created"], 0)
    for wrong in ("status", [1]):
        with pytest.raises(ArgumentError, match="columns is a list"):
            client.frame("run", columns=wrong)  # type: ignore[arg-type]  # what an untyped caller may write


def test_every_row_is_what_the_entity_itself_says(tmp_path: Path) -> None:
    client = client_of(tmp_path, _runs)
    for position in range(1, client.position + 1):
        with Client(tmp_path, as_of=position) as then:
            found = then.find("run")
            for run, row in zip(found, found.to_frame().to_dicts(), strict=True):
                flat = {path: value for path, value in row.items() if value is not None}
                cells = {path: value for path, value in flat.items() if path.startswith(("m.", "fit::", "odd"))}
                assert set(cells) == {path for path, (kind, _) in run.cells().items() if kind != "none"}
                assert flat.get("status") == run.fields.get("status")


def test_histories_series_differences_and_comparisons_are_tables(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        for number in range(3):
            log.add(
                MetadataLogged((EntityRef("model", "m", "1"),), pack_metadata({"k": number / 4}), at_step=10 * number)
            )
        log.log("model:m@2", {"k": 1.5})

    client = client_of(tmp_path, write)
    model = client.get("model:m@1")
    history = model.history("k").to_pandas()
    assert (list(history["value"]), list(history["at_step"])) == ([0.0, 0.25, 0.5], [0, 10, 20])
    assert str(history.dtypes["value"]) == "float64"
    assert list(model.series("k", x="step").to_pandas()["step"]) == [0, 10, 20]
    assert client.diff("model:m@1", "model:m@2").to_pandas()["delta"].tolist() == [1.0]
    comparison = client.compare(["model:m@1", "model:m@2"])
    assert comparison.to_frame().to_dicts() == [
        {"reference": "model:m@1", "k": 0.5},
        {"reference": "model:m@2", "k": 1.5},
    ]
    assert comparison.to_pandas().loc["k"].tolist() == [0.5, 1.5]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ([True, None, False], "bool"),
        ([1, 2, None], "int"),
        ([1, 2.5], "float"),
        ([StorageSize(5), 2], "int"),
        ([2**63], "float"),
        ([decimal.Decimal("0.1"), 1], "float"),
        ([True, 1], "text"),
        (["a", Uri("s3://b"), uuid.UUID(int=1)], "str"),
        ([NOON, None], "datetime"),
        ([NOON.replace(tzinfo=None)], "text"),
        ([NOON.date(), NOON], "text"),
        ([dt.timedelta(seconds=1)], "timedelta"),
        ([b"a"], "bytes"),
        ([[1, 2]], "text"),
        ([1, "a"], "text"),
        ([None], "str"),
        ([], "str"),
    ],
)  # fmt: skip
def test_a_column_has_the_type_that_holds_all_its_values(values: list[Any], kind: str) -> None:
    assert column_type(values) == kind
    assert len(Frame({"k": values}).to_pandas()) == len(values)


@settings(max_examples=200)
@given(
    st.lists(
        st.one_of(
            st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.decimals(allow_nan=False) | st.just(decimal.Decimal("NaN")), st.binary(), st.dates(),
            st.datetimes(timezones=st.just(dt.UTC)), st.timedeltas(), st.uuids(), st.lists(st.integers(), max_size=3),
        ),
        max_size=6,
    )
)  # fmt: skip
def test_pandas_takes_whatever_was_logged(values: list[Any]) -> None:
    column = Frame({"k": values}).to_pandas()["k"]
    assert len(column) == len(values)
    for value, found in zip(values, column, strict=True):
        nothing = value is None or (isinstance(value, (float, decimal.Decimal)) and value != value)
        assert pandas.isna(found) if nothing and not isinstance(found, list) else found is not None


def test_columns_of_unequal_length_are_refused() -> None:
    with pytest.raises(ArgumentError, match="one length"):
        Frame({"a": [1], "b": []})
