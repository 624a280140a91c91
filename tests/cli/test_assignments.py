from __future__ import annotations

import datetime as dt
import decimal
import math
import uuid
from typing import Any

import pytest

from runlore.cli.assignments import parse_assignments, parse_value
from runlore.schemas import DType, Path, StorageSize, Uri


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("0.5", 0.5),
        ("3", 3),
        ("true", True),
        ("null", None),
        ('["a", 1]', ["a", 1]),
        ('{"x": 1}', {"x": 1}),
        ('"3"', "3"),
        ("plain words", "plain words"),
        ("", ""),
        ("str:3", "3"),
        ("https://example.org", "https://example.org"),
        ("Uri:s3://b/x", Uri("s3://b/x")),
        ("Path:/x", Path("/x")),
        ("DType:float32", DType("float32")),
        ("StorageSize:1500", StorageSize(1500)),
        ("StorageSize:1.5MB", StorageSize(1_500_000)),
        ("datetime:2026-01-02T03:04:05+00:00", dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)),
        ("date:2026-01-02", dt.date(2026, 1, 2)),
        ("decimal:0.10", decimal.Decimal("0.10")),
        ("uuid:" + "0" * 32, uuid.UUID(int=0)),
    ],
)
def test_a_value_is_json_or_text_or_what_its_type_says(text: str, value: Any) -> None:
    parsed = parse_value(text)
    assert parsed == value
    assert type(parsed) is type(value)


def test_nan_is_a_number() -> None:
    assert math.isnan(parse_value("NaN"))


def test_a_dot_makes_a_group_and_quotes_keep_it() -> None:
    assert parse_assignments(["m.a=1", "m.b=2", '"train.loss"=0.5', '"a=b"=x=y']) == {
        "m": {"a": 1, "b": 2},
        "train.loss": 0.5,
        "a=b": "x=y",
    }


@pytest.mark.parametrize("texts", [["a"], ["=1"], ["a=1", "a=2"], ["a=1", "a.b=2"], ["a.b=1", "a=2"], ['"a=1']])
def test_what_cannot_be_read_is_refused(texts: list[str]) -> None:
    with pytest.raises(ValueError, match=r"write key=value|twice|plain value|does not end"):
        parse_assignments(texts)
