"""Signal handlers, weakref callbacks and `__del__` that log inside a log call: nothing hangs, nothing is lost."""

from __future__ import annotations

import gc
import os
import signal
import threading
import weakref
from collections.abc import Callable, Iterator

import pytest
from interrupting import Interrupts, Kind, every_moment, stored
from log_tools import logged, make_stream, relays, run_python, until

import runlore.producer.lifecycle as lifecycle
from runlore.cli.server import EmbeddedServer
from runlore.producer import Producer, Receipt, configure, flush, log_metadata, run_context, step_context
from runlore.schemas import EntityRef, EventTooLargeError, MetadataLogged, NotSentError, Settings
from tests.patience import PATIENCE


def log(value: object) -> Receipt:
    return log_metadata({"n": value}, "model:churn")


def values(settings: Settings) -> list[object]:
    return [event.fact.metadata["n"] for event in stored(settings) if hasattr(event.fact, "metadata")]


def fresh_default_producer() -> None:
    configure(mode="disabled")
    lifecycle._producers.clear()  # pyright: ignore[reportPrivateUsage] -- as in a new process


def first_log(number: int) -> None:
    log(number)


def log_in_contexts(number: int) -> None:
    with run_context("p"), step_context("s"):
        log(number)


def log_and_configure(number: int) -> None:
    log(number)
    configure(mode="offline")


def log_and_flush(number: int) -> None:
    log(number)
    flush(0)


def log_and_fork(number: int) -> None:
    log(number)
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


@pytest.mark.parametrize(
    ("kind", "strides"),
    [
        ("line", 7),
        ("opcode", 67),
        pytest.param("line", 1, marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
        pytest.param("opcode", 11, marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
    ],
)
@pytest.mark.parametrize("work", [log, first_log, log_in_contexts, log_and_configure, log_and_flush, log_and_fork])
def test_a_call_inside_a_call_is_stored_once_wherever_it_comes(
    settings: Settings, work: Callable[[int], object], kind: Kind, strides: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNLORE_MODE", "offline")
    fresh_default_producer()
    expected: list[object] = []
    receipts: list[Receipt] = []
    here = os.getpid()
    for at in every_moment(kind, strides):
        if work is first_log:
            fresh_default_producer()
        with Interrupts(kind, at, act=lambda at=at: os.getpid() == here and receipts.append(log(-at))) as interrupts:
            work(at)
        expected.append(at)
        if not interrupts.hit:
            break
        expected.append(-at)
        with pytest.raises(NotSentError, match=r"offline|closed"):
            receipts[-1].wait(0)
    configure(mode="disabled")
    assert sorted(values(settings)) == sorted(expected)
    events = stored(settings)
    assert {receipt.event_id for receipt in receipts} <= {event.id for event in events}
    assert len({event.salt for event in events}) == len(events)


def test_a_call_inside_a_call_is_refused_if_it_is_too_large_and_stores_nothing(settings: Settings) -> None:
    producer = Producer(mode="offline", max_event_bytes=2000)
    fact = MetadataLogged((EntityRef("model", "churn"),), {"n": "x" * 3000})
    refused: list[int] = []

    def act() -> None:
        with pytest.raises(EventTooLargeError):
            producer.emit_nowait(fact)
        refused.append(1)

    for at in range(1, 60):
        with Interrupts("line", at, act=act):
            producer.emit_nowait(MetadataLogged((EntityRef("model", "churn"),), {"n": at}))
    producer.close()
    assert len(refused) > 30
    assert values(settings) == list(range(1, 60))


@pytest.fixture
def online(server: EmbeddedServer, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    monkeypatch.setenv("RUNLORE_CONFIRM", "never")  # no projector runs: events would stay until it archives them
    make_stream(settings)
    configure()
    yield settings
    configure(mode="disabled")


@pytest.mark.parametrize("kind", ["line", "opcode"])
def test_receipts_of_calls_inside_calls_learn_their_positions(online: Settings, kind: Kind) -> None:
    receipts: list[Receipt] = []
    for at in every_moment(kind, 1 if kind == "line" else 13):
        with Interrupts(kind, at, act=lambda at=at: receipts.append(log(-at))) as interrupts:
            receipts.append(log(at))
        if not interrupts.hit:
            break
    assert flush(90).unsent == 0
    positions = [receipt.wait(90) for receipt in receipts]
    assert sorted(positions) == list(range(1, len(receipts) + 1))
    assert len(set(logged(online))) == len(receipts)


@pytest.mark.parametrize("stride", [89, pytest.param(7, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_calls_on_top_of_waiting_calls_do_not_hang(online: Settings, stride: int) -> None:
    """Inside flush, wait and close, the relay works on."""

    refused: list[str] = []

    def log_wait_and_flush() -> None:
        try:
            log("inner").wait()
            assert flush(90).unsent == 0
        except NotSentError as error:
            refused.append(str(error))

    done = 0
    for at in every_moment("line", stride):
        producer = Producer()
        with Interrupts("line", at, act=log_wait_and_flush) as interrupts:
            producer.emit_nowait(MetadataLogged((EntityRef("model", "churn"),), {"n": at})).wait(90)
            producer.flush(90)
            producer.close()
        done += 1
        if not interrupts.hit:
            break
    assert flush(90).unsent == 0
    assert len(logged(online)) == 2 * done - 1
    assert len(refused) < done / 2
    assert all("after the handler has returned" in text for text in refused)


def test_a_handler_that_waits_for_what_it_logs_is_told_that_it_cannot(online: Settings) -> None:
    told: list[str] = []

    def act() -> None:
        try:
            log("inner").wait(90)
        except NotSentError as error:
            told.append(str(error))

    for at in every_moment("line"):
        with Interrupts("line", at, act=act) as interrupts:
            log(at)
        if not interrupts.hit:
            break
    assert told
    assert all("after the handler has returned" in text for text in told)
    assert flush(90).unsent == 0


def test_a_handler_may_flush_and_close_in_the_middle_of_a_call(online: Settings) -> None:
    before = set(relays())

    def act() -> None:
        log("inner")
        flush()

    for at in every_moment("line", 4):
        with Interrupts("line", at, act=act) as interrupts:
            log(at)
        if not interrupts.hit:
            break
    outer = 0
    for at in every_moment("line", 25):
        with Interrupts("line", at, act=configure) as interrupts:
            log(f"closed {at}")
        outer += 1
        if not interrupts.hit:
            break
    configure(mode="disabled")
    configure()
    log("last")
    configure(mode="disabled")  # sends what closed outboxes still had
    until(lambda: not set(relays()) - before)  # a producer that was replaced inside its call sends and ends by itself
    found = logged(online)
    assert len([value for value in found if str(value).startswith("closed")]) == outer
    assert found[-1] == "last" or "last" in found


@pytest.mark.parametrize("rounds", [300, pytest.param(1500, marks=[pytest.mark.slow, pytest.mark.timeout(600)])])
def test_real_signals_weakref_callbacks_and_finalizers_may_log(
    online: Settings, rounds: int, caplog: pytest.LogCaptureFixture
) -> None:
    count = {"signal": 0, "callback": 0, "del": 0}

    class Holder:
        def __del__(self) -> None:
            count["del"] += 1
            log(("del", count["del"]))

    class Target:
        """Something in a reference cycle, so that only the collector ends it."""

        def __init__(self) -> None:
            self.me = self

    def callback(_: object) -> None:
        count["callback"] += 1
        log(("callback", count["callback"]))

    def handler(*_: object) -> None:
        count["signal"] += 1
        log(("signal", count["signal"]))

    before = signal.signal(signal.SIGALRM, handler)
    thresholds = gc.get_threshold()
    gc.freeze()  # what is there already would only make each collection slow
    gc.set_threshold(7, 2, 2)
    refs: list[object] = []
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.002, 0.002)
        for number in range(rounds):
            target, holder = Target(), Holder()
            refs.append(weakref.ref(target, callback))
            holder.me = holder  # type: ignore[attr-defined]
            del target, holder
            log(("loop", number))
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        gc.set_threshold(*thresholds)
        gc.unfreeze()
    gc.collect()
    assert flush(PATIENCE).unsent == 0, caplog.text
    assert count["signal"] > 0
    found = logged(online)
    assert len(found) == len(set(found)) == rounds + sum(count.values())


def test_a_lock_that_an_ended_thread_left_is_taken_over(settings: Settings) -> None:
    """As when an exception is thrown into a thread between taking a lock and its `try`."""
    producer = Producer(mode="offline")
    fact = MetadataLogged((EntityRef("model", "churn"),), {"n": 1})
    producer.emit_nowait(fact)
    assert producer.session
    lock = producer.session.outbox.lock

    def leave_it_taken() -> None:
        lock.__enter__()

    for _ in range(3):
        thread = threading.Thread(target=leave_it_taken)
        thread.start()
        thread.join()
        leave_it_taken()
        producer.emit_nowait(fact)
    producer.close()
    assert len(values(settings)) == 4


def test_what_a_finalizer_logs_while_the_interpreter_ends_is_kept(online: Settings) -> None:
    code = """
    from runlore.producer import log_metadata
    class Holder:
        def __del__(self, log=log_metadata):
            log({"n": "late"}, "model:churn")
    holder = Holder()
    log_metadata({"n": "early"}, "model:churn")
    """
    assert run_python(code).stderr == ""
    configure()
    log("next process")
    configure(mode="disabled")
    assert sorted(logged(online)) == ["early", "late", "next process"]
