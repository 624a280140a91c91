"""What a find costs: no plan scans the values, and work does not grow with what does not fit."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from runlore.query import Client
from runlore.query.find import plan
from tests.events import LogBuilder
from tests.query.test_reader import steps_taken
from tests.query.views import client_of

FILTERS = (
    None,
    "metrics.loss > 0.5",
    "metrics.loss > 0.5 and metrics.loss < 0.6",
    "metrics.loss > 0.5 and framework = 'torch' and not retired",
    "metrics.loss <= 1e-3 or framework in ('a', 'b')",
    "framework like 'a%' or framework contains 'x' or exists metrics",
    "ever(metrics.loss > 0.5)",
    "ever(framework = 'torch') and not ever(metrics.loss = nan)",
    "at > 2026-01-01 and at < 2027-01-01T12:00Z",
    "name = 'm1' and version > 2",
    "run = 'x' or step = 'y' or pipeline = 'z'",
    "train::loss > 0.5",
    "created > 2026-01-01",
)


def write(count: int) -> Any:
    def add(log: LogBuilder) -> None:
        for number in range(count):
            log.log(
                f"model:m{number}@1",
                {"metrics": {"loss": number / count}, "framework": ("torch", "sklearn")[number % 2], "n": number},
            )

    return add


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    return client_of(tmp_path_factory.mktemp("plans"), write(300))


@pytest.mark.parametrize("selective", [0, 2000])
@pytest.mark.parametrize("as_of", [None, 200])
@pytest.mark.parametrize("order", [None, "metrics.loss", "framework", "name", "version", "nothing"])
@pytest.mark.parametrize("where", FILTERS)
def test_no_plan_scans_history_or_heads(
    client: Client, monkeypatch: pytest.MonkeyPatch, where: Any, order: Any, as_of: Any, selective: int
) -> None:
    monkeypatch.setattr(plan, "SELECTIVE", selective)
    steps: list[str] = []

    def explained(sql: str, values: Any = ()) -> Any:
        planned = [str(row[3]) for row in plain(f"EXPLAIN QUERY PLAN {sql}", values)]
        # A subquery that is called h holds the one row of a leaf at a moment.
        steps.extend(step for step in planned if step != "SCAN h" or "CO-ROUTINE h" not in planned)
        return plain(sql, values)

    plain = client.scope.reader.rows
    monkeypatch.setattr(client.scope.reader, "rows", explained)
    monkeypatch.setattr(client.scope.reader, "one", lambda sql, values=(): next(iter(explained(sql, values)), None))
    for kind in ("model", "run", None):
        client.find(kind, where, order_by=order, as_of=as_of)
    # Aliases: h is heads, its values or history, m and n history.
    scans = [step for step in steps if re.match(r"SCAN (h|m|n|heads|history|head_values|history_values)\b", step)]
    assert scans == []
    assert not any("AUTOMATIC" in step for step in steps)
    assert any(step.startswith("SEARCH") for step in steps)


def test_a_selective_condition_drives_through_the_index_on_values(client: Client, monkeypatch: Any) -> None:
    steps: list[str] = []
    plain = client.scope.reader.rows
    monkeypatch.setattr(
        client.scope.reader,
        "rows",
        lambda sql, values=(): (
            steps.extend(str(row[3]) for row in plain(f"EXPLAIN QUERY PLAN {sql}", values)),
            plain(sql, values),
        )[1],
    )
    client.find("model", "metrics.loss > 0.9")
    assert "SEARCH h USING COVERING INDEX heads_by_value (path_id=? AND value>? AND value<?)" in steps
    steps.clear()
    client.find("model", "ever(metrics.loss > 0.9)")
    assert "SEARCH h USING PRIMARY KEY (stretch=? AND path_id=? AND value>? AND value<?)" in steps
    steps.clear()
    client.find("model", order_by="metrics.loss", descending=True)
    indexed = steps[steps.index("MERGE (UNION ALL)") : steps.index("RIGHT")]
    assert "SEARCH h USING COVERING INDEX heads_by_value (path_id=? AND value>?)" in indexed
    assert not any("TEMP B-TREE" in step for step in indexed)


def test_an_order_by_name_walks_the_names(client: Client, monkeypatch: Any) -> None:
    names = sorted(f"m{number}" for number in range(300))
    assert [found.name for found in client.find("model", order_by="name", limit=300)] == names
    assert [found.name for found in client.find("model", order_by="name", limit=300, descending=True)] == names[::-1]
    page = client.find("model", "metrics.loss >= 0", order_by="name", limit=2)
    assert [found.name for found in client.find("model", "metrics.loss >= 0", order_by="name", limit=2, after=page.cursor)] == names[2:4]  # fmt: skip
    plain, steps = client.scope.reader.rows, list[str]()

    def explained(sql: str, values: Any = ()) -> Any:
        steps.extend(str(row[3]) for row in plain(f"EXPLAIN QUERY PLAN {sql}", values))
        return plain(sql, values)

    monkeypatch.setattr(client.scope.reader, "rows", explained)
    client.find("model", order_by="name", limit=2)
    assert any("sqlite_autoindex_entities" in step for step in steps)
    assert "USE TEMP B-TREE FOR ORDER BY" not in steps


@pytest.mark.slow
def test_work_does_not_grow_with_the_entities(tmp_path: Path) -> None:
    few, many = (client_of(tmp_path / str(count), write(count)) for count in (1_000, 20_000))
    for where, options in (
        ("n = 7 and framework = 'sklearn'", {}),
        ("framework = 'torch' and n >= 0", {"limit": 20}),
        ("framework = 'torch'", {"order_by": "metrics.loss", "limit": 20}),
        (None, {"order_by": "n", "descending": True, "limit": 20}),
        ("ever(n = 500)", {}),
    ):

        def read(client: Client, where: Any = where, options: Any = options) -> Any:
            return client.find("model", where, **options)

        assert read(few) != []
        assert read(many) != []
        # The probes for selectivity count at most `WIDE` rows a condition, whatever there is.
        assert steps_taken(many, read) <= 1.5 * steps_taken(few, read) + 2 * plan.WIDE / 10
