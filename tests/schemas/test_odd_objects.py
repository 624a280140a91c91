"""What people log by accident or by habit: each is taken for what it means, or refused by path; nothing else is raised."""

from __future__ import annotations

import argparse
import collections
import dataclasses
import datetime as dt
import fractions
import math
import sys
import types
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple
from unittest.mock import MagicMock

import msgspec
import numpy as np
import pandas as pd
import pydantic
import pytest

from runlore.schemas import DType, MetadataTypeError, Uri
from runlore.schemas.values import decode_value, encode_value, pack_metadata


def of_module(name: str, bases: tuple[type, ...] = (), **members: Any) -> type:
    """A stand-in for a class of a library that is not installed here."""
    return type(name.rpartition(".")[2], bases, {"__module__": name.rpartition(".")[0], **members})


class Pair(NamedTuple):
    a: int
    b: str


class Source(pydantic.BaseModel):
    url: pydantic.HttpUrl
    database: pydantic.PostgresDsn


TorchSize = of_module("torch.Size", (tuple,), numel=lambda self: 6)
Device = of_module("torch.device", __str__=lambda self: "cuda:0")
ConfigDict = of_module(
    "ml_collections.config_dict.ConfigDict",
    keys=lambda self: ["lr", 3],
    __getitem__=lambda self, key: {"lr": 0.1, 3: "x"}[key],
)
ListConfig = of_module("omegaconf.listconfig.ListConfig", (list,), _is_none=lambda self: False)
NoneConfig = of_module("omegaconf.dictconfig.DictConfig", _is_none=lambda self: True)
Attrs = of_module("user.Attrs", __attrs_attrs__=(types.SimpleNamespace(name="lr"),), lr=0.1)
MlType = of_module("ml_dtypes.bfloat16", (np.generic,))


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        (TorchSize((1, 2, 3)), (1, 2, 3)),
        (Device(), "cuda:0"),
        (np.float32, DType("float32")),
        (np.bool_, DType("bool")),
        (MlType, DType("bfloat16")),
        (ConfigDict(), {"lr": 0.1, "3": "x"}),
        (ListConfig([1, 2]), [1, 2]),
        (NoneConfig(), None),
        (Attrs(), {"lr": 0.1}),
        (argparse.Namespace(lr=0.1, net=argparse.Namespace(d=2)), {"lr": 0.1, "net": {"d": 2}}),
        (types.SimpleNamespace(a=1), {"a": 1}),
        (types.MappingProxyType({"a": 1}), {"a": 1}),
        (collections.UserDict(a={"b": 1}), {"a": {"b": 1}}),
        (collections.ChainMap({"a": 1}, {"b": 2}), {"b": 2, "a": 1}),
        (collections.Counter("aab"), {"a": 2, "b": 1}),
        (collections.defaultdict(list, a=[1]), {"a": [1]}),
        (Pair(1, "x"), (1, "x")),
        (
            Source(url="http://a.b/c", database="postgres://u@h/d"),  # type: ignore[arg-type]
            {"url": Uri("http://a.b/c"), "database": Uri("postgres://u@h/d")},
        ),
        (np.array(5), 5),
        (np.longdouble("1.5"), 1.5),
        (np.longdouble("inf"), math.inf),
        (np.timedelta64("NaT"), None),
        (np.array(["NaT", 1], dtype="m8[s]"), [None, dt.timedelta(seconds=1)]),
        (np.ma.masked_array([1, 2], mask=[0, 1]), [1, None]),
        (np.array([None, {"a": 1}], dtype=object), [None, {"a": 1}]),
        (np.array([(1, 2.0)], dtype=[("a", int), ("b", float)]), [(1, 2.0)]),
        (np.void(b"abc"), b"abc"),
        (np.datetime64("2020-02-03"), dt.datetime(2020, 2, 3)),
        (np.datetime64("2020-02"), dt.datetime(2020, 2, 1)),
        (np.datetime64("NaT"), None),
        (np.array(["2020", "NaT"], dtype="M8[ns]"), [dt.datetime(2020, 1, 1), None]),
        (np.ma.masked_array(["2020", "2021"], dtype="M8[D]", mask=[0, 1]), [dt.datetime(2020, 1, 1), None]),
        (np.timedelta64(2, "W"), dt.timedelta(weeks=2)),
        (np.timedelta64(10**13, "s"), dt.timedelta(seconds=10**13)),  # in Python's range, beyond 64 bits of microseconds
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_it_is_taken_for_what_it_means(given: Any, stored: Any) -> None:
    found = decode_value(encode_value(given))
    assert (type(found), found) == (type(stored), stored)


@dataclasses.dataclass
class Unset:
    ready: int
    later: int = dataclasses.field(init=False)


class UnsetStruct(msgspec.Struct):
    later: int


class Config(Mapping[str, Any]):
    """As of OmegaConf: some values are missing until they are read."""

    def __init__(self, *missing: str) -> None:
        self.missing = missing

    def __getitem__(self, key: str) -> Any:
        if key in self.missing:
            raise KeyError(f"mandatory value: {key}")
        return 1

    def __iter__(self) -> Iterator[str]:
        return iter(["lr", "seed"])

    def __len__(self) -> int:
        return 2


class Hostile:
    """Everything that can be asked of it raises, and so does its error's text."""

    class UnspeakableError(Exception):
        def __str__(self) -> str:
            raise ValueError("no words")

    def __getattribute__(self, name: str) -> Any:
        raise Hostile.UnspeakableError


class Meta:
    size = 2

    def tolist(self) -> Any:
        raise NotImplementedError("cannot copy out of a meta tensor")


class BadZone(dt.tzinfo):
    def utcoffset(self, when: dt.datetime | None) -> dt.timedelta:
        raise RuntimeError("no such zone")


def deep(levels: int, make: Any = lambda inner: {"d": inner}) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = make(value)
    return value


def holding_itself(kind: str) -> Any:
    """A dict, list, mapping or object with itself two levels down."""
    mapping: dict[str, Any] = {"lr": 0.1}
    held: Any = {
        "dict": mapping,
        "list": [],
        "mapping": collections.UserDict[str, Any](),
        "object": types.SimpleNamespace(),
    }[kind]
    if isinstance(held, list):
        held.append({"self": held, "twice": held})
    elif isinstance(held, types.SimpleNamespace):
        held.inner = {"self": held, "twice": held}
    else:
        held["inner"] = {"self": held, "twice": held}
    return held


def some_unset() -> Any:
    unset = UnsetStruct(1)
    del unset.later
    return unset


@pytest.mark.parametrize(
    ("given", "path"),
    [
        (holding_itself("dict"), "v.inner."),
        (holding_itself("list"), "v[0]."),
        (holding_itself("mapping"), "v.inner."),
        (holding_itself("object"), "v.inner."),
        (deep(3000), "v.d"),
        (deep(3000, lambda inner: [inner]), "v[0]"),
        (deep(3000, lambda inner: (inner,)), "v[0]"),
        (deep(3000, lambda inner: frozenset({inner})), "v"),
        (deep(3000, lambda inner: types.SimpleNamespace(d=inner)), "v.d"),
        (Unset(1), "v.later"),
        (some_unset(), "v.later"),
        (Config("seed"), "v.seed"),
        (Meta(), "v"),
        (dt.datetime(2020, 1, 1, tzinfo=BadZone()), "v"),
        (MagicMock(), "v"),
        (MagicMock(spec=dict), "v"),
        (MagicMock(spec=dt.datetime), "v"),
        (np.datetime64("20000-01-01"), "v"),
        (np.array(["2020", "20000"], dtype="M8[s]"), "v"),
        (np.datetime64(2**62, "D"), "v"),
        (np.datetime64(-(2**62), "Y"), "v"),
        (np.timedelta64(2**62, "D"), "v"),
        (np.timedelta64(2**62, "s"), "v"),
        (np.timedelta64(1, "Y"), "v"),
        (np.timedelta64(5), "v"),
        (np.longdouble("1e4000"), "v"),
        (np.array([1, np.longdouble("-1e4000")]), "v[1]"),
        ({np.longdouble("1e4000"): 1}, "v."),
        (pd.DataFrame({"a": [1]}), "v"),
        (pd.Series(range(2000)), "v"),
        (fractions.Fraction(1, 3), "v"),
        (1j, "v"),
        (np.array([1j]), "v"),
        (range(3), "v"),
        (collections.deque([1]), "v"),
        (collections.UserList([1]), "v"),
        ((n for n in range(3)), "v"),
        (ValueError("x"), "v"),
        (len, "v"),
        (sys, "v"),
        (type, "v"),
        (Config, "v"),
        (np.sum, "v"),
        (pydantic.SecretStr("hush"), "v"),
        ({(Pair(1, "x"), types.MappingProxyType)}, "v"),
        ({(msgspec.UNSET,)}, "v"),
    ],
    ids=lambda value: type(value).__name__,
)  # fmt: skip
def test_it_is_refused_by_path(given: Any, path: str) -> None:
    with pytest.raises(MetadataTypeError) as caught:
        pack_metadata({"ok": 1, "v": given})
    assert caught.value.paths
    assert all(found.startswith(path) for found, _ in caught.value.paths)


def test_an_object_that_answers_nothing_is_refused_by_path() -> None:
    with pytest.raises(MetadataTypeError) as caught:
        pack_metadata({"v": Hostile(), "w": [{"x": Hostile()}]})
    assert caught.value.paths == (
        ("v", "reading it raised UnspeakableError"),
        ("w[0].x", "reading it raised UnspeakableError"),
    )


def test_objects_that_hold_each_other_are_refused_without_walking_every_way_through_them() -> None:
    # 20 nodes have more ways through them than could be walked in a lifetime; the test's own time limit is the judge.
    nodes: list[dict[str, Any]] = [{"name": number} for number in range(20)]
    for node in nodes:
        node["peers"] = [other for other in nodes if other is not node]
    with pytest.raises(MetadataTypeError, match="it holds itself") as caught:
        pack_metadata({"v": nodes[0], "w": print})
    assert len(caught.value.paths) == 100
    assert str(caught.value).startswith("more than 100 metadata value(s) cannot be stored: v.peers[0].peers[0]: ")


def test_a_set_that_could_not_be_read_back_is_refused() -> None:
    @dataclasses.dataclass(frozen=True)
    class Point:
        x: int

    for held in ({Point(1)}, {(Point(1),)}, frozenset({frozenset({Point(1)})})):
        with pytest.raises(MetadataTypeError, match="cannot be read back"):
            pack_metadata({"v": held})


def test_what_ends_the_process_passes_through_a_users_object() -> None:
    class Slow(Meta):
        def tolist(self) -> Any:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pack_metadata({"v": Slow()})


@pytest.mark.parametrize(
    "config",
    [argparse.Namespace(lr=0.1), Config(), ConfigDict(), types.SimpleNamespace(lr=0.1)],
    ids=lambda config: type(config).__name__,
)
def test_a_config_may_be_all_of_a_calls_metadata(config: Any) -> None:
    assert "lr" in pack_metadata(config)


@pytest.mark.parametrize("metadata", [None, 5, "text", [("k", 1)], pd.DataFrame(), object()])
def test_what_is_no_group_is_no_metadata(metadata: Any) -> None:
    with pytest.raises(MetadataTypeError, match="must be a dict"):
        pack_metadata(metadata)
