"""Values come back exactly as they went in; what cannot is refused before anything is sent."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import math
import pathlib
import uuid
from collections import OrderedDict, namedtuple
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pydantic
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runlore.schemas import DType, Erased, MetadataTypeError, Path, StorageSize, Uri
from runlore.schemas.values import decode_value, encode_value, pack_metadata
from runlore.store.cells import TYPE_NAMES, from_cell, readable, to_cell


def _hashes(value: Any) -> bool:
    # A signalling NaN cannot be hashed, so no set holds one.
    try:
        hash(value)
    except TypeError:
        return False
    return True


any_text = st.text(st.characters(exclude_categories=[]), max_size=20)
offsets = st.builds(
    dt.timezone,
    st.timedeltas(min_value=dt.timedelta(hours=-23, minutes=-59), max_value=dt.timedelta(hours=23, minutes=59)),
)
hashable = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(),
        any_text,
        st.binary(max_size=20),
        st.datetimes(),
        st.datetimes(timezones=offsets),
        st.dates(),
        st.timedeltas(),
        st.decimals(),
        st.uuids(),
        st.builds(Uri, any_text),
        st.builds(Erased, any_text),
        st.builds(Path, any_text),
        st.builds(DType, any_text),
        st.builds(StorageSize, st.integers()),
    ),
    lambda inner: st.one_of(st.tuples(inner, inner), st.frozensets(inner.filter(_hashes), max_size=3)),
    max_leaves=4,
)
values = st.recursive(
    hashable,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.tuples(inner),
        st.sets(hashable.filter(_hashes), max_size=4),
        st.dictionaries(st.text(max_size=10), inner, max_size=4),
    ),
    max_leaves=10,
)


def same(a: Any, b: Any) -> bool:
    """Equal, of the same types all the way down, with NaN equal to itself."""
    if type(a) is not type(b):
        return False
    if isinstance(a, float) and a != a:
        return b != b
    if isinstance(a, decimal.Decimal):
        return str(a) == str(b)
    if isinstance(a, dt.datetime):
        return bool(a == b and a.utcoffset() == b.utcoffset())
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, (set, frozenset)):
        return sorted(map(encode_value, a)) == sorted(map(encode_value, b))
    return bool(a == b) and not (a == 0 and isinstance(a, float) and math.copysign(1, a) != math.copysign(1, b))


@settings(max_examples=400, deadline=None)
@given(values)
def test_every_supported_value_comes_back_from_the_wire_and_from_a_cell(value: Any) -> None:
    over_the_wire = decode_value(encode_value(value))
    assert same(value, over_the_wire)
    kind, cell, text = to_cell(over_the_wire)
    assert kind in TYPE_NAMES
    assert same(value, from_cell(kind, cell))
    assert cell is None or isinstance(cell, (str, int, float, bytes))
    assert not isinstance(cell, int) or -(2**63) <= cell < 2**63
    readable(value).encode()
    if text is not None:
        text.encode()


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 3


@dataclasses.dataclass
class Config:
    lr: float
    color: Color


class Point(msgspec.Struct):
    x: int


class Model(pydantic.BaseModel):
    name: str
    sizes: list[int]


class Access(enum.IntFlag):
    READ = 1
    WRITE = 2


Pair = namedtuple("Pair", "a b")


@pytest.mark.parametrize(
    ("given_value", "stored"),
    [
        (Color.RED, "red"),
        (Level.LOW, 3),
        (pathlib.Path("a/b"), Path("a/b")),
        (Config(0.1, Color.RED), {"lr": 0.1, "color": "red"}),
        (Point(3), {"x": 3}),
        (Model(name="m", sizes=[1]), {"name": "m", "sizes": [1]}),
        (Pair(1, 2), (1, 2)),
        (OrderedDict(a=1), {"a": 1}),
        (bytearray(b"x"), b"x"),
        (np.float64(0.5), 0.5),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.bool_(True), True),
        (np.str_("s"), "s"),
        (np.array([[1, 2], [3, 4]]), [[1, 2], [3, 4]]),
        (np.datetime64("2020-01-01T00:00:00.000000001"), dt.datetime(2020, 1, 1)),
        (np.timedelta64(5, "s"), dt.timedelta(seconds=5)),
        (np.dtype("int64"), DType("int64")),
        (pd.Timestamp("2020-01-01", tz="UTC"), dt.datetime(2020, 1, 1, tzinfo=dt.UTC)),
        (pd.Timedelta(5, "s"), dt.timedelta(seconds=5)),
        (pd.NaT, None),
        (pd.NA, None),
        (pd.Series([1.5, 2.5]), [1.5, 2.5]),
        (pd.Index(["a", "b"]), ["a", "b"]),
        (pd.Series([1, None], dtype="Int64"), [1, None]),
        (pd.array([True, None], dtype="boolean"), [True, None]),
        (pd.Series(pd.to_datetime(["2020-01-01", None])), [dt.datetime(2020, 1, 1), None]),
        (pd.Categorical(["a", "b"]), ["a", "b"]),
        (pd.DataFrame({"a": [1, 2]}).describe().to_dict()["a"]["25%"], 1.25),
        (pd.DataFrame({"a": [1]}).dtypes, [DType("int64")]),
        (np.float16("nan"), float("nan")),
        (Access.READ | Access.WRITE, 3),
        ({Color.RED: 1}, {"red": 1}),
        (StorageSize(np.int64(7)), StorageSize(7)),
    ],
    ids=repr,
)
def test_what_libraries_use_is_coerced(given_value: Any, stored: Any) -> None:
    assert same(decode_value(encode_value(given_value)), stored)


def test_every_offending_path_is_named() -> None:
    with pytest.raises(MetadataTypeError) as caught:
        pack_metadata({"ok": 1, "a": {"b": object(), 1j: 1}, "c": [1, {"x": 1j}], "\ud800": 1, "t": (print,)})
    assert [path for path, _ in caught.value.paths] == ["a.b", "a.1j", "c[1].x", "'\\ud800'", "t[0]"]
    assert "Nothing was logged" in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        np.arange(1001),
        pd.DataFrame({"a": [1]}),
        np.complex128(1),
        {frozenset({1}), Pair},
        lambda: None,
        dt.time(1, 2),
        type,
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_cannot_come_back_is_refused(value: Any) -> None:
    with pytest.raises(MetadataTypeError):
        pack_metadata({"k": value})


def test_a_value_that_contains_itself_is_refused() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(MetadataTypeError, match="nested deeper"):
        pack_metadata({"k": endless})


def test_metadata_must_be_a_dict() -> None:
    with pytest.raises(MetadataTypeError, match="must be a dict"):
        pack_metadata([("k", 1)])  # type: ignore[arg-type]


def test_equal_sets_have_equal_bytes() -> None:
    many = [str(n) for n in range(50)] + [uuid.UUID(int=n) for n in range(50)]
    assert encode_value(set(many)) == encode_value({*many[::-1]})


def test_a_storage_size_reads_in_decimal_units() -> None:
    sizes = [0, 999, 1000, 1_500_000, 2_500_000_000, 10**18]
    assert [StorageSize(size).human() for size in sizes] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.5 MB",
        "2.5 GB",
        "1000.0 PB",
    ]
