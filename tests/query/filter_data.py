"""Random logs and random filters for the tests of `find`."""

from __future__ import annotations

import datetime as dt
import decimal
import functools
import math
import random
import tempfile
import uuid
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from runlore.query import Client
from runlore.schemas import DType, MetadataRetracted, StorageSize, Uri, parse_ref
from tests.events import LogBuilder
from tests.query.filter_model import Known
from tests.query.views import client_of

LOGS, EVENTS, ENTITIES = 8, 40, 12
EAST = dt.timezone(dt.timedelta(hours=5, minutes=30))
VALUES: list[Any] = [
    0, 0.0, -0.0, 1, 1.0, -1, 0.9, 0.5, 10, math.nan, math.inf, -math.inf, True, False, None, 2**64, -(2**70), 2**63,
    2**53 + 1, float(2**64), 10**250, StorageSize(1_500_000), StorageSize(0), StorageSize(2**64), decimal.Decimal("0.1"),
    decimal.Decimal("1E+30"), decimal.Decimal("NaN"), decimal.Decimal("Infinity"), decimal.Decimal("-Infinity"), 0.1,
    "", "a", "abc", "0", "1", "nan", "true", "it's", "%", "x" * 300, "A*c", "'; DROP TABLE heads; --", "ü\x00z",
    Uri("s3://a/b"), DType("float"), uuid.UUID(int=5), b"a", [], [1, 2, "a"], [True, None], (1.0, "b"), {"a", "b"},
    [2**70], {}, dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC), dt.datetime(2026, 3, 1, 12, 0, 0, 5), dt.date(2026, 3, 1),
    dt.datetime(2026, 3, 1, 17, 30, tzinfo=EAST), dt.datetime(2026, 3, 1, 1, tzinfo=EAST), dt.timedelta(seconds=90),
    dt.timedelta(days=-1), dt.timedelta.max, "2026-03-01", "\ud800",
    "a" * 150 + "abc" + "b" * 150, ["abc" * 100, "a"],
]  # fmt: skip
PLAIN: list[Any] = [0, 0.0, 1, 1.0, 2, -3, 0.5, 0.25, True, False, None, "b", "a", "abc", StorageSize(5), [1]]
KEYS = ("a", "b", "c", "g", "a.b", "odd key")
PATHS = ("a", "b", "c", "g", "g.x", "g.y", "g.z.w", "a.b", '"a.b"', '"odd key"', "missing", "name", '"name"')


def write(log: LogBuilder, dice: random.Random, events: int, values: list[Any]) -> None:
    for _ in range(events):
        ref = f"artifact:data-{dice.randrange(ENTITIES // 2)}@{dice.randrange(1, 3)}"
        if dice.random() < 0.12:
            log.add(MetadataRetracted((parse_ref(ref),), ((dice.choice(KEYS),),), "wrong"))
            continue
        found: dict[str, Any] = {key: dice.choice(values) for key in dice.sample(KEYS, dice.randrange(1, 4))}
        if "g" in found and dice.random() < 0.8:
            found["g"] = {"x": dice.choice(values), "z": {"w": dice.choice(values)}}
            if dice.random() < 0.5:
                found["g"]["y"] = dice.choice(values)
        log.log(ref, found, merge=dice.random() < 0.3)


class World:
    """A folded log, the client that reads it, and what the model knows of each entity at each position."""

    def __init__(self, seed: int) -> None:
        self.log, self.folder = LogBuilder(), Path(tempfile.mkdtemp(prefix="runlore-find-"))
        dice = random.Random(seed)
        self.client: Client = client_of(
            self.folder, lambda log: (write(log, dice, EVENTS, VALUES if seed % 2 else PLAIN), self._keep(log))
        )
        self._known: dict[int, dict[str, Known]] = {}

    def _keep(self, log: LogBuilder) -> None:
        self.log = log

    def known(self, position: int) -> dict[str, Known]:
        """Every entity that exists at a position, by reference."""
        if position not in self._known:
            found: dict[str, Known] = {}
            for entity in self.client.list_entities("artifact", limit=1000):
                if entity.created_position <= position:
                    span = range(entity.created_position, position + 1)
                    states = [self.client.get(entity.reference, as_of=at).metadata for at in span]
                    found[entity.reference] = Known(states, entity.name, entity.version or "", entity.created_position)
            self._known[position] = found
        return self._known[position]


@functools.cache
def world(seed: int) -> World:
    return World(seed)


NUMBERS = (
    "0", "1", "-1", "0.9", "0.5", "1e-3", "1e23", "10", "nan", "inf", "-inf", "18446744073709551616", "1.5MB", "1e300",
    "9007199254740993", "-1180591620717411303424", "9223372036854775808", "0.1", "1KiB", "1e30", "+5", ".5", "1e400",
)  # fmt: skip
TEXTS = ("''", "'a'", "'abc'", '"b"', "'0'", "'it''s'", "'s3://a/b'", "'nan'", "'2026-03-01'", "'2026-03-01T12:00:00+00:00'",
         "'''; DROP TABLE heads; --'", "'00000000-0000-0000-0000-000000000005'", "'data-1'", '"\\ud800"', '"ü\\u0000z"')  # fmt: skip
OTHERS = ("true", "false", "null", "2026-03-01", "2026-03-01T12:00Z", "2026-03-01 17:30+05:30", "90s", "-1d", "2min")
ORDERED = (*NUMBERS, *TEXTS, *OTHERS[3:])
LITERALS = (*NUMBERS, *TEXTS, *OTHERS)
LONG = "'" + "x" * 300 + "'"


def conditions() -> st.SearchStrategy[str]:
    key = st.sampled_from(PATHS)
    equal = st.builds(
        "{} {} {}".format, key, st.sampled_from(["=", "!=", "==", "<>"]), st.sampled_from((*LITERALS, LONG))
    )
    order = st.builds("{} {} {}".format, key, st.sampled_from(["<", "<=", ">", ">="]), st.sampled_from(ORDERED))
    several = st.lists(st.sampled_from(LITERALS), min_size=1, max_size=4).map(", ".join)
    within = st.builds("{} {} ({})".format, key, st.sampled_from(["in", "not in"]), several)
    like = st.builds(
        "{} {} {}".format, key, st.sampled_from(["like", "not like"]),
        st.sampled_from(["'a%'", "'%b_'", "'%'", "'A*_'", "'\\%'", "'data-_'", "'[a]'"]),
    )  # fmt: skip
    wanted = st.sampled_from((*NUMBERS, *TEXTS, "true", "null"))
    holds = st.builds("{} {} {}".format, key, st.sampled_from(["contains", "not contains"]), wanted)
    exists = st.sampled_from(["exists {}", "{} exists", "exists({})", "{}"])
    return st.one_of(equal, order, within, like, holds, st.builds(lambda how, name: how.format(name), exists, key))


def bounds() -> st.SearchStrategy[str]:
    return st.builds(
        "({0} {1} {2} and {0} {3} {4})".format, st.sampled_from(PATHS), st.sampled_from([">", ">="]), st.sampled_from(NUMBERS),
        st.sampled_from(["<", "<="]), st.sampled_from(NUMBERS),
    )  # fmt: skip


def filters() -> st.SearchStrategy[str]:
    leaves = st.one_of(conditions(), bounds(), conditions().map("ever({})".format))
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.builds("({} and {})".format, inner, inner),
            st.builds("({} or {})".format, inner, inner),
            inner.map("not {}".format),
        ),
        max_leaves=5,
    )
