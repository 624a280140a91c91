from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from runlore.query import Client
from runlore.schemas import (
    ArtifactVersionProduced,
    EntityRef,
    FilterError,
    MetadataRetracted,
    ModelStageChanged,
    ModelVersionCreated,
    RunFinished,
    RunStarted,
    StepStarted,
    StorageSize,
)
from runlore.schemas.errors import MomentError
from runlore.store.folder import DataDir
from tests.events import START, LogBuilder
from tests.query.views import client_of, fold_live


def models(**values: dict[str, Any]) -> Any:
    def write(log: LogBuilder) -> None:
        for name, metadata in values.items():
            log.log(f"model:{name}@1", metadata)

    return write


def names(found: Any) -> list[str]:
    return [entity.name for entity in found]


def test_the_filter_of_the_issue_finds_what_it_says(tmp_path: Path) -> None:
    good = {"evaluation_metrics": {"accuracy": 0.95}, "framework": "sklearn"}
    write = models(
        good=good,
        retired=good | {"retired": True},
        kept=good | {"retired": False},
        one=good | {"retired": 1},
        bad=good | {"evaluation_metrics": {"accuracy": 0.9}},
        torch=good | {"framework": "torch"},
    )
    found = client_of(tmp_path, write).find(
        "model", "evaluation_metrics.accuracy > 0.9 and framework = 'sklearn' and not retired"
    )
    assert names(found) == ["one", "kept", "good"]
    assert found.position == 6
    assert found.cursor is None


def test_a_stale_value_never_matches_and_ever_finds_it(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        log.log("model:m@1", {"accuracy": 0.95})
        log.log("model:m@1", {"accuracy": 0.5})
        log.log("model:gone@1", {"accuracy": 0.99})
        log.add(MetadataRetracted((EntityRef("model", "gone", "1"),), (("accuracy",),), "0.99 was wrong"))

    client = client_of(tmp_path, write)
    assert names(client.find("model", "accuracy > 0.9")) == []
    assert names(client.find("model", "ever(accuracy > 0.9)")) == ["gone", "m"]
    assert names(client.find("model", "ever(accuracy > 0.9)", as_of=2)) == ["m"]
    assert names(client.find("model", "accuracy > 0.9", as_of=1)) == ["m"]
    assert names(client.find("model", "accuracy = '0.99 was wrong' or ever(accuracy = '0.99 was wrong')")) == []
    with Client(tmp_path, as_of=START + dt.timedelta(seconds=3)) as then:
        found = then.find("model", "accuracy > 0.9")
        assert names(found) == ["gone"]
        assert found.position == 3
        assert found[0].metadata == {"accuracy": 0.99}


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("x >= 0", "zero zero_float one big size decimal inf"),
        ("x = 0", "zero zero_float"),
        ("x = 1", "one"),
        ("x = true", "true"),
        ("x", "true"),
        ("not x > 1", "zero zero_float one true text nan null day missing"),
        ("x != 1", "zero zero_float true text big nan null size decimal day inf"),
        ("x = nan", "nan"),
        ("x = null", "null"),
        ("exists x", "zero zero_float one true text big nan null size decimal day inf"),
        ("x >= 18446744073709551617", "big inf"),
        ("x = 18446744073709551617", "big"),
        ("x = 18446744073709551616", ""),
        ("x = 1.5MB", "size"),
        ("x > 1.4MiB and x < 1536KB", "size"),
        ("x = 1.1", "decimal"),
        ("x in (0, 'text', true, null)", "zero zero_float true text null"),
        ("x < 'u'", "text"),
        ("x contains 'ex'", "text"),
        ("x like 't_xt'", "text"),
        ("x > 2026-02-28T23:00-02:00", ""),
        ("x >= 2026-03-01", "day"),
        ("x > '2026-02-28' and not x > '2026-03-02'", "day text"),
        ("x = inf", "inf"),
    ],
)
def test_types_keep_apart(tmp_path: Path, where: str, expected: str) -> None:
    values = {
        "zero": 0, "zero_float": 0.0, "one": 1, "true": True, "text": "text", "big": 2**64 + 1, "nan": float("nan"),
        "null": None, "size": StorageSize(1_500_000), "decimal": Decimal("1.1"), "day": dt.date(2026, 3, 1),
        "inf": float("inf"),
    }  # fmt: skip
    write = models(**{name: {"x": value} for name, value in values.items()}, missing={"y": 1})
    found = client_of(tmp_path, write).find("model", where)
    if where.startswith("x > '2026"):
        expected = "day"  # 'text' is after '2026-03-02' as well
    assert sorted(names(found)) == sorted(expected.split())


def pipelines(log: LogBuilder) -> None:
    log.add(RunStarted("nightly", "nightly-1", parameters={"lr": 0.1}), run="0190-aa")
    log.add(StepStarted(), run="0190-aa", step="train")
    log.log("step:0190-aa/train", {"loss": 0.5, "opt": {"lr": 0.2}}, run="0190-aa", step="train")
    log.add(ArtifactVersionProduced(EntityRef("artifact", "table"), "DataFrame"), run="0190-aa", step="train")
    log.add(RunFinished("failed", "ValueError", "nan"), run="0190-aa")
    log.add(RunStarted("weekly", "weekly-1", parameters={"lr": 0.3, "deep": {"a.b": True, "n": 5}}), run="0190-ab")
    log.add(ModelVersionCreated(EntityRef("model", "churn")), run="0190-ab")
    log.add(ModelStageChanged(EntityRef("model", "churn", "1"), "staging"))
    log.add(ModelStageChanged(EntityRef("model", "churn", "1"), "production"))


@pytest.mark.parametrize(
    ("kind", "where", "expected"),
    [
        ("run", "status = 'failed'", ["run:0190-aa"]),
        ("run", "name = 'weekly-1'", ["run:0190-ab"]),
        ("run", "pipeline = 'nightly'", ["run:0190-aa"]),
        ("run", "run like '0190-%'", ["run:0190-ab", "run:0190-aa"]),
        ("run", "parameters.lr > 0.2", ["run:0190-ab"]),
        ("run", "parameters.lr != 0.3 or parameters.deep.a.b", ["run:0190-ab", "run:0190-aa"]),
        ("run", "parameters.deep.n = 5 and exists parameters.deep and not exists parameters.shallow", ["run:0190-ab"]),
        ("run", "ever(parameters.lr < 1) and parameters.lr >= 0.3 and parameters.lr < 0.4", ["run:0190-ab"]),
        ("run", "exists parameters", ["run:0190-ab", "run:0190-aa"]),
        ("run", "train::loss = 0.5 and train::opt.lr < 1", ["run:0190-aa"]),
        ("run", "exists train::opt", ["run:0190-aa"]),
        ("run", "not exists train::opt", ["run:0190-ab"]),
        ("run", "started_at > 2025-01-01", ["run:0190-ab", "run:0190-aa"]),
        ("step", "pipeline = 'nightly' and run = '0190-aa' and step = 'train' and loss < 1", ["step:0190-aa/train"]),
        ("artifact", "step = 'train' and run = '0190-aa' and pipeline = 'nightly'", ["artifact:table@1"]),
        ("artifact", "data_type = 'DataFrame'", ["artifact:table@1"]),
        ("model", "stage = 'production' and version = 1", ["model:churn@1"]),
        ("model", "stage = 'staging'", []),
        ("model", "ever(stage = 'staging')", ["model:churn@1"]),
        ("model", "run = '0190-ab'", ["model:churn@1"]),
        ("pipeline", "pipeline = 'weekly'", ["pipeline:weekly"]),
        (None, "pipeline = 'nightly' and created > '2026-01-01T00:00:02Z'", ["artifact:table@1"]),
        (None, "created <= 2026-01-01T00:00:01Z and created >= 2026-01-01 and not pipeline = 'x'", ["pipeline:nightly", "run:0190-aa"]),
    ],
)  # fmt: skip
def test_fields_of_entities_are_found(tmp_path: Path, kind: str | None, where: str, expected: list[str]) -> None:
    client = client_of(tmp_path, pipelines)
    assert sorted(e.reference for e in client.find(kind, where)) == sorted(expected)


def produced_again(log: LogBuilder) -> None:
    """`prod@1`, said to be made by step A of one run, by B of another, and by A again, which had started once."""
    for run, step in (("r1", "A"), ("r2", "B"), ("r1", "A")):
        log.add(ArtifactVersionProduced(EntityRef("artifact", "prod", "1")), run=run, step=step)


@pytest.mark.parametrize(("as_of", "maker", "run"), [(1, "A", "r1"), (2, "B", "r2"), (3, "A", "r1"), (None, "A", "r1")])
def test_the_step_of_an_artifact_is_the_last_one_that_made_it(
    tmp_path: Path, as_of: int | None, maker: str, run: str
) -> None:
    client = client_of(tmp_path, produced_again)
    for step in ("A", "B"):
        assert names(client.find("artifact", f"step = '{step}'", as_of=as_of)) == ["prod"] * (step == maker)
    for other in ("r1", "r2"):
        assert names(client.find("artifact", f"run = '{other}'", as_of=as_of)) == ["prod"] * (other == run)
    with Client(tmp_path, as_of=as_of) as then:
        made = then.get_artifact_version("prod", 1)
        assert made.produced_by == f"step:{run}/{maker}"
        assert made.producer is not None
        assert made.producer.reference == made.produced_by


def test_fields_as_of_then(tmp_path: Path) -> None:
    client = client_of(tmp_path, pipelines)
    assert [e.reference for e in client.find("run", "status = 'running'", as_of=4)] == ["run:0190-aa"]
    assert [e.reference for e in client.find("model", "stage = 'staging'", as_of=8)] == ["model:churn@1"]
    assert client.find("artifact", "step = 'train'", as_of=3) == []
    assert [e.reference for e in client.find("run", "exists train::loss", as_of=3)] == ["run:0190-aa"]
    assert client.find("run", "exists train::loss", as_of=2) == []
    assert [e.reference for e in client.find("run", order_by="parameters.lr")] == ["run:0190-aa", "run:0190-ab"]
    assert [e.reference for e in client.find("run", "parameters.lr > 0", as_of=5)] == ["run:0190-aa"]


def test_find_goes_by_positions_not_by_the_producers_clocks(tmp_path: Path) -> None:
    client_of(tmp_path, models(a={"x": 1})).close()
    with (
        Client(tmp_path, as_of=START + dt.timedelta(days=1), clock="occurred") as client,
        pytest.raises(MomentError, match=r"filter.* by the producers. clocks"),
    ):
        client.find("model", "x = 1")


def test_a_quoted_name_is_a_key_even_where_a_field_has_the_name(tmp_path: Path) -> None:
    write = models(a={"name": "b", "train.loss": 1, "train": {"loss": 2}, 'odd "key"': 3}, b={"stage": "x"})
    client = client_of(tmp_path, write)
    assert names(client.find("model", "name = 'b'")) == ["b"]
    assert names(client.find("model", "\"name\" = 'b'")) == ["a"]
    assert names(client.find("model", "stage = 'x' or \"stage\" = 'x'")) == ["b"]
    assert names(client.find("model", '"train.loss" = 2')) == []
    assert names(client.find("model", '"train.loss" = 1 and train.loss = 2 and train."loss" = 2')) == ["a"]
    assert names(client.find("model", r'"odd \"key\"" = 3')) == ["a"]


def test_versions_compare_as_numbers(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        for version in range(1, 12):
            log.log(f"model:m@{version}", {"x": 1})
        log.log("model:m@rc", {"x": 1})

    client = client_of(tmp_path, write)
    assert [e.version for e in client.find("model", "version > 9")] == ["11", "10"]
    assert [e.version for e in client.find("model", "version in (2, 'rc')")] == ["rc", "2"]
    assert [e.version for e in client.find("model", order_by="version", limit=3)] == ["1", "2", "3"]
    assert [e.version for e in client.find("model", order_by="version", descending=True, limit=2)] == ["rc", "11"]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("accuracy:gte:0.9", ["b", "a"]),
        ("accuracy:gt:0.9", ["a"]),
        ("accuracy:lte:0", ["c"]),
        ("accuracy:lt:0.9", ["c"]),
        ("name:contains:a", ["a"]),
        ("framework:startswith:sk", ["a"]),
        ("framework:endswith:ch", ["c", "b"]),
        ("framework:equals:torch", ["c", "b"]),
        ("framework:notequals:torch", ["a"]),
        ('framework:oneof:["sklearn", "x"]', ["a"]),
        ("accuracy:in:0.9,0", ["c", "b"]),
        ("build:equals:7", ["b", "a"]),
        ("created:gt:2026-01-01T00:00:02Z", ["c"]),
        (["accuracy:gte:0.9", "framework:equals:torch"], ["b"]),
        (["accuracy:gte:0.9", "framework = 'torch' or name = 'a'"], ["b", "a"]),
    ],
)
def test_zenml_strings_mean_the_same(tmp_path: Path, where: Any, expected: list[str]) -> None:
    write = models(
        a={"accuracy": 0.95, "framework": "sklearn", "build": 7},
        b={"accuracy": 0.9, "framework": "torch", "build": "7"},
        c={"accuracy": 0, "framework": "torch"},
    )
    assert names(client_of(tmp_path, write).find("model", where)) == expected


def test_zenml_strings_take_sizes_with_units(tmp_path: Path) -> None:
    write = models(a={"size": StorageSize(2_000_000), "tag": "5s"}, b={"size": StorageSize(1_000_000), "tag": "6s"})
    client = client_of(tmp_path, write)
    assert names(client.find("model", "size:gt:1.5MB")) == ["a"]
    assert names(client.find("model", "size:lte:1MB")) == ["b"]
    assert names(client.find("model", "tag:equals:5s")) == ["a"]


HOSTILE = [
    "'; DROP TABLE heads; --",
    "x' OR '1'='1",
    "%",
    "_",
    "*",
    "[a-z]",
    "?",
    ":p0",
    "{v}",
    "\x00",
    "\ud800",
    '"',
    "\\",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_injection_stays_data(tmp_path: Path, text: str) -> None:
    named = {} if text == "\ud800" else {text: 1}
    write = models(hit={"x": text} | named, miss={"x": "harmless"})
    client = client_of(tmp_path, write)
    quoted = "'" + text.replace("'", "''") + "'"
    key = json.dumps(text)
    assert names(client.find("model", f"x = {quoted}")) == ["hit"]
    assert names(client.find("model", f"x contains {quoted}")) == ["hit"]
    assert names(client.find("model", f"x in ({quoted}, {quoted})")) == ["hit"]
    assert names(client.find("model", f"ever(x = {quoted})", as_of=2)) == ["hit"]
    assert names(client.find("model", f"x:startswith:{text}")) == ["hit"]
    assert names(client.find("model", f"name = {quoted}")) == []
    assert names(client.find(None, order_by="x")) == (["miss", "hit"] if text > "harmless" else ["hit", "miss"])
    assert client.find(text, "x = 1") == []
    if text != "\ud800":
        assert names(client.find("model", f"{key} = 1", order_by=key)) == ["hit"]


def test_pages_hold_while_entities_are_added(tmp_path: Path) -> None:
    log = LogBuilder()
    for number in range(10):
        log.log(f"model:m{number}@1", {"x": number % 3, "y": 1})
    fold_live(DataDir(tmp_path), log)
    with Client(tmp_path) as client:
        for options in ({}, {"order_by": "x"}, {"order_by": "y", "descending": True}, {"order_by": "nothing"}):
            whole, seen, after = names(client.find("model", limit=1000, **options)), [], None
            while True:
                page = client.find("model", limit=3, after=after, **options)
                seen += names(page)
                after = page.cursor
                if after is None:
                    break
                log.log(f"model:late{len(log.rows)}@1", {"x": 1, "y": 1})
                fold_live(DataDir(tmp_path), log, after=len(log.rows) - 1)
            assert [name for name in seen if name in whole] == whole
            assert len(seen) == len(set(seen))


def test_a_cursor_continues_its_own_question_only(tmp_path: Path) -> None:
    client = client_of(tmp_path, models(a={"x": 1}, b={"x": 2}))
    cursor = client.find("model", "x > 0", limit=1).cursor
    assert cursor is not None
    assert names(client.find("model", "x > 0", after=cursor)) == ["a"]
    for where, options in (("x > 1", {}), ("x > 0", {"order_by": "x"}), ("x > 0", {"as_of": 1})):
        with pytest.raises(FilterError, match="another"):
            client.find("model", where, after=cursor, **options)
    for bad in ("", "x", "!!", cursor[:-3], "kw", "gaRudWxs"):
        with pytest.raises(FilterError, match="not a cursor"):
            client.find("model", "x > 0", after=bad)


def test_long_values_and_huge_numbers(tmp_path: Path) -> None:
    long = "x" * 5000
    client = client_of(tmp_path, models(long={"x": long}, short={"x": "x"}, huge={"x": 10**250}))
    assert names(client.find("model", f"x = '{long}'")) == ["long"]
    assert names(client.find("model", "x > 'x'")) == ["long"]
    assert names(client.find("model", "x > 5")) == []
    assert names(client.find("model", order_by="x")) == ["short", "huge", "long"]


def test_reading_loads_no_grammar(tmp_path: Path) -> None:
    client_of(tmp_path, models(a={"x": 1})).close()
    code = (
        "import sys; from runlore.query import Client\n"
        f"client = Client({str(tmp_path)!r})\n"
        "assert client.get('model:a@1').metadata and client.find('model') and client.find('model', 'x:gt:0')\n"
        "assert 'lark' not in sys.modules\n"
        "assert client.find('model', 'x > 0') and 'lark' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=90)
