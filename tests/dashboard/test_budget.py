"""A page and a terminal decode a bounded part of what an entity holds; the rest is named by its size, and JSON has it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from runlore.cli import reading
from runlore.cli.app import app
from runlore.dashboard import answering
from runlore.query.view import budget
from tests.dashboard.conftest import web_over
from tests.events import LogBuilder
from tests.query.views import client_of

LIST = [[number] for number in range(2000)]
PACKED = [(number,) for number in range(2000)]
PAGES = (
    "/entity?ref=model:m@1", "/history?ref=model:m@1&path=list", "/compare?ref=model:m@1&ref=model:m@2&all=1", "/list?kind=model&col=list",
    "/trail", "/search?q=list", "/entity?ref=model:m@1&as_of=1", "/history?ref=model:m@1&path=group",
)  # fmt: skip
NOT_SHOWN = "bytes, not shown here"


def write(log: LogBuilder) -> None:
    for number in range(30):
        values = {"list": [number, *LIST], "packed": [number, *PACKED], "small": [number], "group": {"a": LIST, "b": 1}}
        log.log(["model:m@1", "model:m@2"], values)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The sizes of all collections that are decoded from now on."""
    sizes: list[int] = []
    decode = budget.from_cell

    def from_cell(kind: str, cell: object) -> object:
        if isinstance(cell, (str, bytes)) and kind in ("list", "dict"):
            sizes.append(len(cell) * (budget.PACKED_COST if isinstance(cell, bytes) else 1))
        return decode(kind, cell)

    monkeypatch.setattr(budget, "from_cell", from_cell)
    return sizes


@pytest.mark.parametrize("page", PAGES)
def test_a_page_decodes_no_more_than_its_budget(tmp_path: Path, page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "PAGE_BYTES", 20_000)
    sizes = counted(monkeypatch)
    with web_over(client_of(tmp_path, write, archived=True)) as web:
        answer = web.get(page)
        assert answer.status_code == 200
        assert sum(sizes) <= 20_000
        if "entity" in page or "path=list" in page:
            assert NOT_SHOWN in answer.text
            assert "/payload?position=" in answer.text


def test_without_time_a_page_names_sizes_and_still_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(budget.time, "monotonic", iter([0.0, *[1e9] * 100_000]).__next__)
    with budget.decoding_at_most(10**9, 1.0):
        assert str(budget.read_cell("list", "[1]")) == "list of 3 bytes, not shown here"
        assert budget.read_cell("int", 1) == 1


def test_an_event_beyond_the_budget_is_offered_as_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "PAGE_BYTES", 1000)
    with web_over(client_of(tmp_path, write, archived=True)) as web:
        page = web.get("/event?position=1")
        assert (page.status_code, "too many to be decoded for a page" in page.text) == (200, True)
        assert web.get("/api/v1/event?position=1").json()["event"]["type"] == "metadata_logged"


def test_exports_and_the_api_have_every_value_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answering, "PAGE_BYTES", 0)
    with web_over(client_of(tmp_path, write)) as web:
        assert web.get("/copy?ref=model:m@1&as=json&key=list").json() == [29, *LIST]
        assert web.get("/api/v1/entity?ref=model:m@1").json()["metadata"]["list"]["value"] == [29, *LIST]
        assert NOT_SHOWN not in web.get("/compare.csv?ref=model:m@1&ref=model:m@2").text


@pytest.mark.slow
def test_a_command_names_the_largest_and_prints_them_as_json(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "TERMINAL_BYTES", 100)
    client_of(tmp_path, write).close()
    for words in (["show", "model:m@1"], ["history", "model:m@1", "list"], ["blame", "model:m@1"]):
        command = [*words, "--data-dir", str(tmp_path)]
        told = CliRunner().invoke(app, command)
        assert told.exit_code == 0
        assert NOT_SHOWN in told.stdout
        exact = CliRunner().invoke(app, [*command, "--json"])
        assert json.dumps([29, *LIST], separators=(",", ":")) in exact.stdout
