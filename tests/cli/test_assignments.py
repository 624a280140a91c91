from __future__ import annotations

import datetime as dt
import decimal
import math
import uuid
from typing import Any

import pytest

from runlore.cli.assignments import parse_assignments, read_value
from runlore.cli.json_text import read_json
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
    parsed, remark = read_value(text)
    assert parsed == value
    assert remark is None
    assert type(parsed) is type(value)


def test_nan_is_a_number() -> None:
    assert math.isnan(read_value("NaN").value)


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


@pytest.mark.parametrize("text", ["12e4567", "-1e999", "1e-999", "0e12345", "9" * 5000])
def test_a_number_that_would_be_lost_is_text_and_inside_json_refused(text: str) -> None:
    value, remark = read_value(text)
    assert value == text
    assert remark is not None
    assert "decimal:" in remark
    for document in (f"[{text}]", f'{{"a": {{"b": {text}}}}}'):
        with pytest.raises(ValueError, match=r"no float|read as 0|too many digits"):
            read_value(document)
        with pytest.raises(ValueError, match=r"no float|read as 0|too many digits"):
            read_json(document)


@pytest.mark.parametrize(
    "text", ['{"a": 1, "a": 2}', '[{"g": {"x": 1, "y": 2, "x": 1}}]', "[" * 100_000 + "]" * 100_000]
)
def test_json_that_says_a_key_twice_or_is_too_deep_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"twice|too deep"):
        read_value(text)


@pytest.mark.parametrize(
    ("text", "value", "other"),
    [
        ("1.10", 1.1, "str:1.10"),
        ("296e115", 2.96e117, "str:296e115"),
        ("1234e56", 1.234e59, "str:1234e56"),
        ("-0", 0, "str:-0"),
        ("0.12345678901234567890", 0.12345678901234568, "str:"),
        ("007", "007", "7"),
        (".5", ".5", "0.5"),
        ("nan", "nan", "NaN"),
        ("True", "True", "true"),
    ],
)
def test_where_text_and_number_differ_it_is_said_how_it_was_read(text: str, value: Any, other: str) -> None:
    notes: list[str] = []
    assert parse_assignments([f"version={text}"], say=notes.append) == {"version": value}
    assert len(notes) == 1
    assert f"version={text[:40]}" in notes[0]
    assert other in notes[0]


@pytest.mark.parametrize("text", ["[a, b]", "[1,]", "{lr: 0.1}", "{'lr': 0.1}", "[]]"])
def test_a_list_or_group_that_is_no_json_is_text_and_said_to_be(text: str) -> None:
    notes: list[str] = []
    assert parse_assignments([f"tags={text}"], say=notes.append) == {"tags": text}
    assert notes == [f"tags={text} was read as text: it is no JSON, in which names and texts have double quotes"]


@pytest.mark.parametrize("text", ["[", "{x", "1e-3", "2.5E+10", "1.0", "3", "plain", "v1.10", "1,000", "", " "])
def test_usual_numbers_and_texts_are_read_without_a_remark(text: str) -> None:
    assert read_value(text).remark is None
