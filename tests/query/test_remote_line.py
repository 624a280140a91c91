"""The line to a query service: what is lost is asked again, and its thread ends with it."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pytest

from runlore.cli.server import EmbeddedServer
from runlore.query.remote import answers, line, nats_line, service
from runlore.query.remote.answers import Answers, AnswerStep
from runlore.query.remote.codec import Unpacker, pack
from runlore.query.remote.line import Line
from runlore.query.remote.methods import Call, Reply
from runlore.query.time.moment import NOW
from runlore.query.watch.changes import Change
from runlore.schemas import read_settings
from runlore.schemas.errors import QueryTimeoutError
from runlore.store.folder import DataDir
from tests.events import LogBuilder
from tests.patience import PATIENCE, until
from tests.query.serving import served
from tests.query.test_remote import both, remote, sample
from tests.query.views import client_of, fold_live


def lines() -> int:
    return sum(thread.name == "runlore-query-line" for thread in threading.enumerate())


class OldLine(Line):
    """To a service that waits for nothing, and answers at once from an older view each second time."""

    path = "nowhere"
    position = 9

    def send(self, call: Call, seconds: float) -> bytes:
        self.position = 12 - self.position
        return msgspec.msgpack.encode(Reply(self.position, "epoch", 1, False, None))

    def forget(self) -> None: ...

    def close(self) -> None: ...


def test_older_answers_are_not_taken_and_end_with_the_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "SECONDS", 0.3)
    old, call = OldLine(), Call("default", "state", None, [], {}, *NOW, "recorded", 0, 0.0)
    old.saw(9)
    assert old.ask(call).position == 9  # the second answer
    old.saw(10)
    with pytest.raises(QueryTimeoutError, match="you have seen event 10"):
        old.ask(call)


def test_the_thread_of_a_client_ends_with_it(server: EmbeddedServer) -> None:
    _, far = both(sample())
    with served():
        assert far.position
        assert lines() == 1
        far.close()
        until(lambda: not lines())
        assert far.position
        model = far.get("model:churn@1")
        del far
        gc.collect()
        assert model.metadata  # an entity keeps the line of its client
        del model
        gc.collect()
        until(lambda: not lines())


def test_a_question_whose_service_ended_without_a_word_is_asked_again(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_line, "SILENT_SECONDS", 0.2)
    _, far = both(sample())
    plain, asked = service._Service._answer, list[str]()

    async def lost(self: service._Service, request: service.Request) -> None:
        asked.append(request.subject)
        if len(asked) > 1:
            await plain(self, request)

    with served(), far:
        monkeypatch.setattr(service._Service, "_answer", lost)
        assert far.get("model:churn@1").metadata
    assert asked[:2] == ["runlore-query.v1.default.get"] * 2


def test_a_connection_that_ends_while_it_is_made_is_made_again(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, made = nats_line.listen, list[nats_line.Connection]()

    async def ended(connection: nats_line.Connection, *rest: Any) -> Any:
        made.append(connection)
        if len(made) == 1:
            await connection.close()
        return await plain(connection, *rest)

    monkeypatch.setattr(nats_line, "listen", ended)
    _, far = both(sample())
    with served(), far:
        assert far.position
        assert [one.is_closed for one in made] == [True, False]


def test_a_service_without_a_view_leaves_the_questions_to_others(
    server: EmbeddedServer, capfd: pytest.CaptureFixture[str]
) -> None:
    told = list[str]()

    async def story() -> None:
        ready = asyncio.Event()
        answering = asyncio.create_task(service.serve(read_settings(), ready))
        while not told:
            await asyncio.sleep(0.01)
            told.extend(capfd.readouterr().err.splitlines())
        assert not ready.is_set()
        _, far = await asyncio.to_thread(both, sample())
        async with asyncio.timeout(PATIENCE):
            await ready.wait()
        assert await asyncio.to_thread(lambda: far.position)
        far.close()
        answering.cancel()
        await asyncio.wait({answering})

    asyncio.run(story())
    assert "nothing to read in" in told[0]


def test_a_service_that_is_at_it_is_not_asked_again(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nats_line, "SILENT_SECONDS", 1.0)
    monkeypatch.setattr(service, "WORKING_SECONDS", 0.05)
    _, far = both(sample())
    plain, asked = Answers._step, list[str]()
    waited = threading.Event()

    def slow(self: Answers, one: answers.Asked, most: float = PATIENCE) -> bytes | None:
        if most < PATIENCE:
            return None  # a try, which it is too slow for
        asked.append(one.call.method)
        waited.wait(1.3)
        return plain(self, one)

    with served(), far:
        monkeypatch.setattr(Answers, "_step", slow)
        assert far.find("model")
    assert asked == ["find"]


@pytest.mark.parametrize(("quick", "in_threads"), [(0.0, [1, 2]), (60.0, [0, 0])])
def test_what_takes_longer_than_usual_goes_to_a_thread(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: float, in_threads: list[int]
) -> None:
    def write(log: LogBuilder) -> None:
        for part in range(4):
            log.log("model:m@1", {f"k{part}.{n}": n for n in range(900)})

    local = client_of(tmp_path, write)
    model, reader = local.get("model:m@1"), local.scope.reader
    call = Call("default", "metadata", pack(model), [], {}, *NOW, "recorded", 0, 5.0)
    monkeypatch.setattr(answers, "QUICK_SECONDS", quick)
    asked, steps = Answers(reader), list[AnswerStep]()

    async def run(step: AnswerStep) -> bytes | None:
        steps.append(step)
        return step()

    def ask() -> object:
        data = asyncio.run(asked.answer("runlore-query.v1.default.metadata", msgspec.msgpack.encode(call), run))
        return Unpacker(lambda *_: model).read(msgspec.msgpack.decode(data, type=Reply).node)

    found = [(ask(), len(steps)), (ask(), len(steps))]
    assert found == [(model.metadata, count) for count in in_threads]


def test_who_waits_for_an_event_holds_no_thread(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    local, far = both(sample())
    ahead = [remote() for _ in range(service.THREADS * 4)]
    with served(), far, ThreadPoolExecutor(len(ahead)) as readers:
        for client in ahead:
            client.scope.reader.saw(local.position + 1)  # type: ignore[attr-defined]
        waiting = [readers.submit(client.get, "model:churn@1") for client in ahead]
        for _ in range(20):
            assert far.get("model:churn@1")
        assert not any(one.done() for one in waiting)
        log = sample()
        log.log("model:churn@1", {"new": True})
        fold_live(DataDir(read_settings().data_dir), log, 2)
        assert [one.result(PATIENCE).metadata["new"] for one in waiting] == [True] * len(ahead)
        for client in ahead:
            client.close()


def test_what_comes_too_late_is_said_by_the_service(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runlore.query.remote.line.SECONDS", 0.6)
    local, far = both(sample())
    with served(), far:
        far.scope.reader.saw(local.position + 1)  # type: ignore[attr-defined]
        with pytest.raises(QueryTimeoutError, match=f"you have seen event {local.position + 1}"):
            far.get("model:churn@1")


def test_a_forked_child_asks_over_a_connection_of_its_own(server: EmbeddedServer) -> None:
    _, far = both(sample())
    with served(), far:
        model = far.get("model:churn@1")
        context = multiprocessing.get_context("fork")
        results = context.SimpleQueue()
        child = context.Process(target=lambda: results.put(model.metadata["acc"]))
        child.start()
        assert results.get() == model.metadata["acc"]
        child.join(PATIENCE)
        assert child.exitcode == 0
        assert far.get("model:churn@1").metadata


def test_a_watch_waits_at_the_service_and_hears_of_news_at_once(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runlore.query.remote.client.WATCH_SECONDS", PATIENCE)
    _, far = both(sample())
    plain, asked = service._Service._answer, list[str]()

    async def counted(self: service._Service, request: service.Request) -> None:
        asked.append(request.subject.rpartition(".")[2])
        await plain(self, request)

    monkeypatch.setattr(service._Service, "_answer", counted)
    with served(), far, ThreadPoolExecutor(2) as watchers:
        watch, many = far.watch("model:churn@1", key="new"), far.watch_async("model:churn@1", key="new")

        async def first() -> Change:
            return await anext(many)

        one, other = watchers.submit(next, watch), watchers.submit(lambda: asyncio.run(first()))
        until(lambda: asked.count("watch_page") >= 2)
        log = sample()
        log.log("model:churn@1", {"new": 7})
        fold_live(DataDir(read_settings().data_dir), log, 2)
        assert [found.result(PATIENCE).entry.value for found in (one, other)] == [7, 7]
        assert asked.count("watch_page") < 20
        assert list(far.watch(since=watch.place, timeout=0)) == []


def test_a_service_that_ends_lets_its_watches_go_on_elsewhere(server: EmbeddedServer) -> None:
    _, far = both(sample())
    with far, ThreadPoolExecutor(1) as watchers:
        with served():
            found = watchers.submit(next, far.watch("model:churn@1", key="new"))
            assert far.position
        with served():
            assert not found.done()
            log = sample()
            log.log("model:churn@1", {"new": 7})
            fold_live(DataDir(read_settings().data_dir), log, 2)
            assert found.result(PATIENCE).entry.value == 7


def test_a_service_that_ends_sends_who_waits_for_an_event_to_another_one(server: EmbeddedServer) -> None:
    local, far = both(sample())
    with far, ThreadPoolExecutor(1) as readers:
        with served():
            assert far.position
            far.scope.reader.saw(local.position + 1)  # type: ignore[attr-defined]
            waiting = readers.submit(far.get, "model:churn@1")
        with served():
            log = sample()
            log.log("model:churn@1", {"new": True})
            fold_live(DataDir(read_settings().data_dir), log, 2)
            assert waiting.result(PATIENCE).metadata["new"]


def test_a_server_that_hangs_or_starts_again_is_asked_again(
    server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nats_line, "SILENT_SECONDS", 0.2)
    monkeypatch.setattr(nats_line, "ALIVE_SECONDS", 0.2)
    _, far = both(sample())
    with served(), far, ThreadPoolExecutor(1) as readers:
        model = far.get("model:churn@1")
        assert server.pid
        os.kill(server.pid, signal.SIGSTOP)
        threading.Timer(0.7, os.kill, (server.pid, signal.SIGCONT)).start()
        assert model.metadata
        server.close()
        reading = readers.submit(lambda: model.metadata)
        server.start()
        assert reading.result(PATIENCE)


def test_what_a_failed_question_held_does_not_act_on_the_services_terminal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: object) -> None:
        raise OSError("\x1b]0;title\x07")

    monkeypatch.setattr(answers, "_called", fail)
    local = client_of(tmp_path, lambda log: log.log("model:m@1", {"k": 1}))
    call = Call("default", "list_kinds", None, [], {}, *NOW, "recorded", 0, 5.0)
    asking = Answers(local.scope.reader).answer(
        "runlore-query.v1.default.list_kinds", msgspec.msgpack.encode(call), lambda step: asyncio.to_thread(step)
    )
    reply = msgspec.msgpack.decode(asyncio.run(asking) or b"", type=Reply)
    assert reply.failed
    told = capsys.readouterr().err
    assert "\x1b" not in told
    assert r"OSError: \x1b]0;title\x07" in told
