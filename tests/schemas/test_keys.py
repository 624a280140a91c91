"""Keys that are no text become the text that JSON writes for them; two that become the same are refused by path."""

from __future__ import annotations

import enum
import json
import math
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runlore.schemas import MetadataTypeError
from runlore.schemas.keys import key_text
from runlore.schemas.limits import MAX_KEY_BYTES
from runlore.schemas.values import decode_value, encode_value, pack_metadata


@given(st.one_of(st.text(), st.integers(), st.floats(), st.booleans(), st.none()))
def test_a_key_is_the_text_that_json_writes_for_it(key: Any) -> None:
    (written,) = json.loads(json.dumps({key: 1}))
    assert key_text(key) == written
    assert type(key_text(key)) is str
    assert key_text(key_text(key)) == written


class Label(enum.Enum):
    CAT = "cat"
    THIRD = 3


@pytest.mark.parametrize(
    ("key", "text"),
    [
        (np.int64(3), "3"),
        (np.uint8(3), "3"),
        (np.float64(0.5), "0.5"),
        (np.float32(0.5), "0.5"),
        (np.longdouble(0.5), "0.5"),
        (np.bool_(True), "true"),
        (np.str_("a"), "a"),
        (Label.CAT, "cat"),
        (Label.THIRD, "3"),
        (math.nan, "NaN"),
        (np.float32("-inf"), "-Infinity"),
    ],
    ids=repr,
)
def test_numpys_scalars_and_enums_are_keys_as_their_values_are(key: Any, text: str) -> None:
    (packed,) = pack_metadata({key: 1})
    assert (type(packed), packed) == (str, text)


def test_keys_become_text_at_every_depth() -> None:
    given = {"confusion": {0: {1: 5, None: 6}, True: [{2.5: 7}]}}
    assert decode_value(encode_value(given)) == {"confusion": {"0": {"1": 5, "null": 6}, "true": [{"2.5": 7}]}}


@pytest.mark.parametrize("values", [[1, 2, 2], [0.5, 0.5], [True, False], ["a", "b"], [1, None]], ids=repr)
def test_counted_values_of_pandas_are_a_group(values: list[Any]) -> None:
    counts = pd.Series(values).value_counts().to_dict()
    assert pack_metadata({"counts": counts}) == {"counts": json.loads(json.dumps(counts))}


@pytest.mark.parametrize(
    ("group", "paths"),
    [
        ({"g": {1: "a", "1": "b"}}, ["g.1"]),
        ({"g": {"x": {None: 1, "null": 2, True: 3, "true": 4}}}, ["g.x.null", "g.x.true"]),
        ({1: 1, "1": 2}, ['1']),
        ({"g": [{"ok": 1}, {float("nan"): 1, float("nan"): 2}]}, ["g[1].NaN"]),
        ({"g": {(1, 2): 1}}, ["g.(1, 2)"]),
        ({"g": {pd.Timestamp("2020-01-01"): 1}}, ["g.Timestamp('2020-01-01 00:00:00')"]),
        ({"g": {b"k": 1, "\ud800": 1}}, ["g.b'k'", "g.'\\ud800'"]),
        ({"g": {10**5000: 1}}, ["g.int"]),
    ],
    ids=["int", "null and true", "top", "nan", "tuple", "timestamp", "bytes and surrogate", "long int"],
)  # fmt: skip
def test_keys_that_collide_or_are_no_keys_are_refused_by_path(group: dict[Any, Any], paths: list[str]) -> None:
    with pytest.raises(MetadataTypeError) as caught:
        pack_metadata({"fine": 1, **group})
    assert [path for path, _ in caught.value.paths] == paths


def test_a_key_that_is_too_long_is_refused() -> None:
    pack_metadata({"ü" * (MAX_KEY_BYTES // 2): 1})
    with pytest.raises(MetadataTypeError, match="a key of 65,538 bytes"):
        pack_metadata({"ü" * (MAX_KEY_BYTES // 2 + 1): 1})
