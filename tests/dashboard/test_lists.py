"""Lists of a kind: what their headings lead to."""

from __future__ import annotations

import html
import re
from pathlib import Path
from typing import Any

import pytest

from runlore.schemas import EntityRef, RunStarted, StepStarted
from tests.dashboard.conftest import web_over
from tests.events import LogBuilder
from tests.query.views import client_of

ODD: tuple[str, ...] = (
    "learning rate", "3d", "f(x)", "name", "version", "run", "step", "pipeline", "created", "stage", "status",
    "started_at", "a.b", 'say "x"', "line\nbreak", "größe", "a::b", "not", "nan", "-", "100%", "\\", "'", "plain",
)  # fmt: skip
VALUES = {"m1": 2, "m2": 3, "m3": 1}


@pytest.mark.parametrize("key", [*ODD, ("group", "of it"), ("name", "first"), ("x y", "z")], ids=repr)
def test_every_heading_of_a_list_sorts_by_its_column(tmp_path: Path, key: str | tuple[str, str]) -> None:
    def write(log: LogBuilder) -> None:
        for name, value in VALUES.items():
            log.log(f"model:{name}@1", {key: value} if isinstance(key, str) else {key[0]: {key[1]: value}})

    with web_over(client_of(tmp_path, write)) as web:
        page: Any = web.get("/list?kind=model")
        heading = re.search(r'<th scope="col" class="data[^>]*><a href="([^"]+)"', page.text)
        assert heading is not None
        largest_first = web.get(html.unescape(heading[1]))
        assert largest_first.status_code == 200
        assert _order(largest_first.text) == ["m2", "m1", "m3"]
        assert largest_first.text.count("aria-sort") == 1
        again = re.search(r'aria-sort="descending"><a href="([^"]+)"', largest_first.text)
        assert again is not None
        assert _order(web.get(html.unescape(again[1])).text) == ["m3", "m1", "m2"]


def test_a_run_is_sorted_by_a_key_of_its_step(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        for run, value in VALUES.items():
            log.add(RunStarted("nightly", f"nightly-{run}"), run=run)
            log.add(StepStarted(), run=run, step="train it")
            log.log(EntityRef("step", "train it", run=run), {"val loss": value})

    with web_over(client_of(tmp_path, write)) as web:
        heading = re.search(r'class="data[^>]*><a href="([^"]+)"', web.get("/list?kind=run").text)
        assert heading is not None
        assert _order(web.get(html.unescape(heading[1])).text) == ["m2", "m1", "m3"]


def test_a_column_whose_name_is_no_path_cannot_be_sorted_by(tmp_path: Path) -> None:
    with web_over(client_of(tmp_path, lambda log: log.log("model:m@1", {"a": 1}))) as web:
        page = web.get("/list?kind=model&col=%22open")
        assert page.status_code == 200
        (heading,) = re.findall(r'<th scope="col" class="data[^>]*>(.*?)</th>', page.text)
        assert html.unescape(heading) == '"open'


def _order(page: str) -> list[str]:
    return re.findall(r'data-row data-key="(?:model|run):(\w+)', page)
