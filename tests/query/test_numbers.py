"""Numbers of every kind in differences and comparisons."""

from __future__ import annotations

import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from runlore.cli.app import app
from runlore.query.numbers import difference
from tests.events import LogBuilder
from tests.query.views import client_of


@pytest.mark.parametrize(
    ("before", "after", "delta", "relative"),
    [
        (Decimal("0.9"), Decimal("0.8"), Decimal("-0.1"), -1 / 9),
        (Decimal("0.1"), 0.1, 0.0, 0.0),  # beside a float: what the numbers are as floats
        (Decimal("1.5"), 3, Decimal("1.5"), 1.0),
        (2, Decimal("1e-30"), Decimal("-2.000000000000000000000000000"), -1.0),
        (Decimal(0), Decimal(1), Decimal(1), None),
        (Decimal("inf"), Decimal(1), Decimal("-inf"), None),
        (Decimal("1e999999"), Decimal("1e-999999"), Decimal("-1e999999"), -1.0),
        (Decimal(1), Decimal("sNaN"), None, None),
        (True, Decimal(1), None, None),
    ],
)
def test_decimals_are_numbers_in_a_diff(
    before: Any, after: Any, delta: Decimal | float | None, relative: float | None
) -> None:
    found, share = difference(before, after)
    assert (found, type(found)) == (delta, type(delta))
    assert share == pytest.approx(relative)


def test_a_decimal_that_is_nan_is_shown_and_compared_as_one(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        log.log("model:m@1", {"a": Decimal("0.9"), "nan": Decimal("NaN"), "signal": Decimal("sNaN")})
        log.log("model:m@2", {"a": Decimal("0.8"), "nan": Decimal(1), "signal": Decimal(1)})

    client = client_of(tmp_path, write)
    found = {item.path: item.delta for item in client.diff("model:m@1", "model:m@2")}
    assert math.isnan(found["nan"] or 0)
    assert found["signal"] is None
    shown = CliRunner().invoke(app, ["diff", "model:m@1", "model:m@2", "--data-dir", str(tmp_path)])
    assert "-0.1 (-11.1%)" in shown.output
    best = {row.path: row.best for row in client.compare(["model:m@1", "model:m@2"], best="max").rows}
    assert best == {"a": (0,), "nan": (), "signal": ()}
