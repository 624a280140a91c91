"""What is too large, too long, or of a wrong type: an error of ours that says so, never a traceback."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from runlore.cli.app import app
from runlore.query import Client, parse_when
from runlore.schemas import EntityRef, ModelStageChanged
from runlore.schemas.errors import ArgumentError, MomentError, NotFoundError, RunloreError
from tests.events import LogBuilder
from tests.query.views import client_of

HUGE = 2**63


def write(log: LogBuilder) -> None:
    log.log("model:m@1", {"loss": 0.5, "note": "words to find"})
    log.log("model:m@1", {"loss": 0.25})


@pytest.fixture
def client(tmp_path: Path) -> Client:
    return client_of(tmp_path, write)


@pytest.mark.parametrize("text", ["-1", "+5", "77.5", "-3.5", ".5", "1.5e3"])
def test_a_number_that_is_no_position_is_no_time_either(text: str) -> None:
    with pytest.raises(MomentError, match="no event number or time"):
        parse_when(text)


@pytest.mark.parametrize("text", [str(HUGE), "9" * 50, "9" * 10_000])
def test_a_position_beyond_what_can_be_stored_is_said_to_be(text: str) -> None:
    with pytest.raises(MomentError, match=r"^an event number is from 0 to .{1,100}$"):
        parse_when(text)


@pytest.mark.parametrize("text", ["0001-01-01", "9999-12-31T23:59"])
def test_the_ends_of_time_are_times_or_errors_of_ours(text: str) -> None:
    with contextlib.suppress(MomentError):
        assert isinstance(parse_when(text), dt.datetime)


@pytest.mark.parametrize("when", [HUGE, 10**4000, 1.5, True, -5, (1, 2), b"1", dt.date(2026, 1, 1)])
def test_what_is_no_moment_is_a_moment_error_everywhere(client: Client, tmp_path: Path, when: Any) -> None:
    entity = client.get("model:m@1")
    for read in (
        lambda: Client(tmp_path, as_of=when),
        lambda: entity.as_of(when),
        lambda: client.find("model", as_of=when),
        lambda: client.diff("model:m@1", since=when),
        lambda: entity.history("loss", since=when),
        lambda: entity.history("loss", until=when),
        lambda: client.watch(since=when),
    ):
        with pytest.raises(MomentError):
            read()


@pytest.mark.parametrize("wrong", [HUGE, 1.5, True])
def test_what_is_no_page_border_is_a_moment_error(client: Client, wrong: Any) -> None:
    entity = client.get("model:m@1")
    for read in (
        lambda: entity.history("loss", after=wrong),
        lambda: entity.history("loss", before=wrong),
        lambda: client.list_entities("model", before=wrong),
    ):
        with pytest.raises(MomentError):
            read()
    assert len(entity.history("loss", before=HUGE - 1)) == 2
    assert entity.history("loss", after=HUGE - 1) == []


@pytest.mark.parametrize("limit", [HUGE, HUGE - 1, 0, -1, 1.5, True])
def test_what_is_no_limit_is_an_error(client: Client, limit: Any) -> None:
    reads: list[Callable[[], object]] = [
        lambda: client.find("model", limit=limit),
        lambda: client.search("words", limit=limit),
        lambda: client.list_entities("model", limit=limit),
        lambda: client.list_pipeline_runs(limit=limit),
        lambda: client.quarantine(limit),
        lambda: client.get("model:m@1").history("loss", limit),
    ]
    for read in reads:
        with pytest.raises((ArgumentError, RunloreError), match="limit is"):
            read()


def test_a_watch_begins_at_a_time_too(client: Client) -> None:
    assert len(list(client.watch(since="1 day ago", timeout=0))) in (0, 3)
    assert list(client.watch(since=dt.datetime.now(dt.UTC), timeout=0)) == []
    assert list(client.watch(since=client.recorded_at, timeout=0)) == []
    assert len(list(client.watch(since=dt.datetime(1990, 1, 1, tzinfo=dt.UTC), timeout=0))) == 3
    for wrong in ((1, 2, 3, 4), (1, "a", 2), (), (HUGE, 1, 1), (-1, 0, 0)):
        with pytest.raises(MomentError):
            client.watch(since=wrong)  # type: ignore[arg-type]


def test_a_search_has_a_bounded_length(client: Client) -> None:
    assert client.search("x" * 1000) == []
    assert client.search(" ".join("%" * 300) + " w") == []
    with pytest.raises(ArgumentError, match="at most 1,000 characters"):
        client.search("x" * 1001)


@pytest.mark.parametrize(
    "words",
    [
        "show model:m@1 --as-of {}",
        "diff model:m@1 --from {}",
        "diff model:m@1 --from 1 --to {}",
        "history model:m@1 loss --since {}",
        "history model:m@1 loss --until {}",
        "history model:m@1 loss --before {}",
        "history model:m@1 loss --after {}",
        "history model:m@1 loss -n {}",
        "list model --before {}",
        "list model -n {}",
        "find model -n {}",
        "search words -n {}",
        "tail --no-follow --since {}",
        "tail --no-follow -n {}",
        "watch --since {}",
        "lineage model:m@1 --depth {}",
        "lineage model:m@1 --max-nodes {}",
        "search {}",
    ],
)
@pytest.mark.parametrize("number", [HUGE, "9" * 3000])
@pytest.mark.usefixtures("client")
def test_huge_numbers_are_wrong_usage(tmp_path: Path, words: str, number: Any) -> None:
    if words == "search {}" and number == HUGE:
        return
    result = CliRunner().invoke(app, [*words.format(number).split(), "--data-dir", str(tmp_path)])
    assert (result.exit_code, result.stdout) == (2, ""), result.output
    assert "Traceback" not in result.output


def test_the_history_of_a_field_is_asked_for_like_that_of_a_key(tmp_path: Path) -> None:
    def stages(log: LogBuilder) -> None:
        log.log("model:m@1", {"loss": 1})
        log.add(ModelStageChanged(EntityRef("model", "m", "1"), "staging", "passed the tests"))
        log.add(ModelStageChanged(EntityRef("model", "m", "1"), "production"))
        log.log("model:n@1", {"stage": "a key of that name"})
        log.add(ModelStageChanged(EntityRef("model", "n", "1"), "production"))

    client = client_of(tmp_path, stages)
    model = client.get("model:m@1")
    assert [entry.value for entry in model.history("stage")] == ["staging", "production"]
    assert [(e.value, e.type) for e in model.history("stage_reason")] == [
        ("passed the tests", "str"),
        (None, "removed"),
    ]
    assert [entry.previous for entry in model.history("stage", 1)] == ["staging"]
    assert [entry.value for entry in client.get("model:n@1").history("stage")] == ["a key of that name"]
    with pytest.raises(NotFoundError):
        model.history("note")
    result = CliRunner().invoke(app, ["show", "model:m@1", "--as-of", "2", "--data-dir", str(tmp_path)])
    assert "passed the tests" in result.stdout
