"""An exception at any instruction of a log call leaves the producer usable and its numbers whole."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import pytest
from interrupting import Interrupt, Interrupts, Kind, every_moment, stored
from log_tools import make_stream, relays
from patience import PATIENCE, until

from runlore.cli.server import EmbeddedServer
from runlore.producer import Producer, configure, log_metadata, pipeline, run_context, step, step_context
from runlore.producer.runs.lifespan import fail_unfinished
from runlore.producer.runs.place import PROCESS, current_run, current_step
from runlore.schemas import EntityRef, Event, MetadataLogged, RunFinished, Settings, StepFinished


@pytest.fixture(autouse=True)
def _offline(settings: Settings) -> None:
    configure(mode="offline")


def log(value: object) -> None:
    log_metadata({"n": value}, "model:churn")


def fact(value: object) -> MetadataLogged:
    return MetadataLogged((EntityRef("model", "churn"),), {"n": value})


def values(events: list[Event]) -> list[object]:
    return [event.fact.metadata["n"] for event in events if hasattr(event.fact, "metadata")]


def assert_whole(settings: Settings, returned: list[object]) -> list[Event]:
    """Close the producer: what had returned is stored once, the rest at most once, numbers have no gap."""
    configure(mode="disabled")
    events = stored(settings)
    found = values(events)
    assert len(found) == len(set(found))
    assert set(returned) <= set(found)
    by_producer: dict[str, list[int]] = {}
    for event in events:
        by_producer.setdefault(event.producer_id, []).append(event.producer_seq)
    for numbers in by_producer.values():
        assert numbers == list(range(1, len(numbers) + 1))
    return events


def interrupt_all(call: Callable[[int], object], kind: Kind, again: int | None = None, step: int = 1) -> list[object]:
    """Interrupt `call(n)` at every moment, each followed by a call that is left alone; what returned."""
    returned: list[object] = []
    for at in every_moment(kind, step):
        with Interrupts(kind, at, again) as interrupts:
            try:
                call(at)
                returned.append(at)
            except Interrupt:
                pass
        call(-at)
        returned.append(-at)
        if not interrupts.hit:
            return returned
    raise AssertionError


@pytest.mark.parametrize("kind", ["line", "opcode"])
def test_a_call_interrupted_anywhere_is_stored_at_most_once_and_the_next_ones_go_on(
    settings: Settings, kind: Kind
) -> None:
    log(0)
    assert_whole(settings, [0, *interrupt_all(log, kind)])


@pytest.mark.parametrize("again", [1, 2, 3, 5, 8])
def test_a_call_interrupted_twice_leaves_the_producer_usable(settings: Settings, again: int) -> None:
    log(0)
    assert_whole(settings, [0, *interrupt_all(log, "line", again)])


@pytest.mark.parametrize(
    ("kind", "stride"),
    [
        ("line", 7),
        ("opcode", 61),
        pytest.param("line", 1, marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
        pytest.param("opcode", 5, marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
    ],
)
def test_the_first_call_interrupted_anywhere_leaves_the_next_one_working(
    settings: Settings, kind: Kind, stride: int
) -> None:
    returned: list[object] = []
    for at in every_moment(kind, stride):
        producer = Producer(mode="offline")
        with Interrupts(kind, at) as interrupts, contextlib.suppress(Interrupt):
            producer.emit_nowait(fact(at))
            returned.append(at)
        producer.emit_nowait(fact(-at))
        returned.append(-at)
        producer.close()
        if not interrupts.hit:
            break
    assert_whole(settings, returned)


def test_a_first_call_interrupted_while_its_relay_starts_leaves_no_relay_that_goes_on_without_an_outbox(
    server: EmbeddedServer, settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def interrupted(thread: threading.Thread) -> None:  # Ctrl-C comes most often while start() waits for the thread
        start(thread)
        raise KeyboardInterrupt

    make_stream(settings)
    start, before = threading.Thread.start, len(relays())
    with Producer(mode="online") as producer:
        for _ in range(3):
            with monkeypatch.context() as patched:
                patched.setattr(threading.Thread, "start", interrupted)
                with pytest.raises(KeyboardInterrupt):
                    producer.emit_nowait(fact("interrupted"))
        assert producer.emit_nowait(fact("next")).wait(PATIENCE) == 1
        until(lambda: len(relays()) == before + 1)
    assert caplog.messages == []


def unended(events: list[Event]) -> set[tuple[str | None, str | None]]:
    names = [(event.run, event.step, type(event.fact).__name__) for event in events]
    starts = {name[:2] for name in names if name[2].endswith("Started")}
    return starts - {name[:2] for name in names if name[2].endswith("Finished")}


def with_contexts(number: int) -> None:
    with run_context("p", run_id=f"r{number}"), step_context("s"):
        log(number)


@step
def a_step(number: int) -> int:
    log(number)
    return number


@pipeline
def a_pipeline(number: int) -> int:
    return a_step(number)


def with_own_run(number: int) -> None:
    with step_context("alone"):
        log(number)


@pytest.mark.parametrize(
    ("kind", "stride"),
    [
        ("line", 5),
        ("opcode", 61),
        pytest.param("line", 1, marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
        pytest.param("opcode", 5, marks=[pytest.mark.slow, pytest.mark.timeout(600)]),
    ],
)
@pytest.mark.parametrize("work", [with_contexts, a_pipeline, with_own_run])
def test_whatever_started_has_ended_wherever_it_was_interrupted(
    settings: Settings, work: Callable[[int], object], kind: Kind, stride: int
) -> None:
    left: set[object] = set()

    def run(number: int) -> None:
        try:
            work(number)
        finally:
            left.update({current_run(), current_step(), *PROCESS.open} if work is a_pipeline else ())
            fail_unfinished()  # as at the end of the process

    events = assert_whole(settings, interrupt_all(run, kind, step=stride))
    assert unended(events) == set()
    assert left <= {None}
    started = [event.run for event in events if type(event.fact).__name__ == "RunStarted"]
    assert len(started) == len(set(started))


def test_a_run_interrupted_in_its_body_is_failed_with_the_reason(settings: Settings) -> None:
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt), run_context("p"), step_context("s"):
            raise KeyboardInterrupt
    ends = [event.fact for event in assert_whole(settings, []) if isinstance(event.fact, (RunFinished, StepFinished))]
    assert [(end.status, end.error_type) for end in ends] == [("failed", "KeyboardInterrupt")] * 4
