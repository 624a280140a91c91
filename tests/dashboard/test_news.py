"""What listeners are told: every event once, also after a look at the view that failed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from sse_starlette import ServerSentEvent
from starlette.requests import Request

from runlore.dashboard.access import Access, give_access
from runlore.dashboard.live import Accepted, LiveFeed, News
from runlore.schemas import StepStarted
from runlore.schemas.errors import QueryTimeoutError
from runlore.store.folder import DataDir
from runlore.store.sqlite import sqlite
from tests.dashboard.demo_log import write_demo
from tests.events import LogBuilder
from tests.query.views import client_of


@pytest.mark.parametrize("error", [sqlite.OperationalError("locked"), OSError("disk"), QueryTimeoutError("slow")])
def test_the_looks_go_on_after_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    live, failures = LiveFeed(client_of(tmp_path, write_demo)), iter([error])

    def look() -> News | None:
        for failure in failures:
            raise failure
        return News(7, None, ["model:churn@1"], [], all=False)

    async def first() -> bytes:
        request = Request({"type": "http", "method": "GET", "path": "/live", "headers": []})
        give_access(request.scope, Access())
        answer = await live.answer(request)
        assert isinstance(answer, Accepted)
        messages: list[bytes] = []
        async with live.running():
            async for message in answer.stream.body_iterator:
                messages.append(message.encode() if isinstance(message, ServerSentEvent) else b"")
                if len(messages) == 2:
                    return messages[1]
        raise AssertionError("no news")

    monkeypatch.setattr(live, "news", look)
    assert b'"position":7' in asyncio.run(asyncio.wait_for(first(), 10))


def test_a_look_that_fails_loses_no_news(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def too_slow(*_: object) -> list[str]:
        raise QueryTimeoutError("took too long")

    log = LogBuilder()

    def keep(builder: LogBuilder) -> None:
        write_demo(builder)
        log.rows = builder.rows

    live = LiveFeed(client_of(tmp_path, keep))
    assert live.news() is not None
    assert live.news() is None
    known = len(log.rows)
    log.log("model:churn@1", {"fresh": 1})
    log.fold_into(DataDir(tmp_path).current_view(), after=known).close()
    with monkeypatch.context() as busy:
        busy.setattr("runlore.dashboard.live.touched", too_slow)
        with pytest.raises(QueryTimeoutError):
            live.news()
    assert live.news() == News(known + 1, None, ["model:churn@1"], [], all=False)
    assert live.news() is None


def news_of(folder: Path, write: Callable[[LogBuilder], object]) -> News | None:
    """What is told of events that come while a page is open."""
    log = LogBuilder()

    def keep(builder: LogBuilder) -> None:
        write_demo(builder)
        log.rows = builder.rows

    live = LiveFeed(client_of(folder, keep))
    assert live.news() is not None
    known = len(log.rows)
    write(log)
    log.fold_into(DataDir(folder).current_view(), after=known).close()
    return live.news()


def test_a_burst_about_one_entity_hides_no_other(tmp_path: Path) -> None:
    def burst(log: LogBuilder) -> None:
        for number in range(300):
            log.log("artifact:a@1", {"n": number})
        log.log("model:churn@1", {"last": 1})

    news = news_of(tmp_path, burst)
    assert news is not None
    assert {"artifact:a@1", "model:churn@1"} <= {*news.references}
    assert not news.all


@pytest.mark.parametrize("write", [
    lambda log: [log.log(f"artifact:a{number}@1", {"n": 1}) for number in range(300)],
    lambda log: [log.log("artifact:a@1", {"n": number}) for number in range(2500)],
])  # fmt: skip
def test_what_is_not_named_is_said_to_be_more(tmp_path: Path, write: Callable[[LogBuilder], object]) -> None:
    news = news_of(tmp_path, write)
    assert news is not None
    assert news.all


def test_a_step_concerns_its_run_and_another_project_its_own_pages(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        log.add(StepStarted(), run="run-9", step="fit")
        log.log("step:run-9/fit", {"loss": 1.0})
        log.project = "other"
        log.log("model:theirs@1", {"x": 1})

    news = news_of(tmp_path, write)
    assert news is not None
    assert set(news.references) == {"step:run-9/fit", "run:run-9"}
    assert (news.projects, news.all) == (["other"], False)
