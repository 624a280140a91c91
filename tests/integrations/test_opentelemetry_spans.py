"""With OpenTelemetry loaded, each event has the current span; with RUNLORE_SPANS=on, runs and steps are spans."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

import runlore.producer as producer
from runlore.schemas import MetadataLogged, RunFinished, RunStarted, Settings, StepStarted
from tests.producer.log_tools import read_outbox

opentelemetry: Any = pytest.importorskip("opentelemetry.sdk.trace")
pytestmark = [pytest.mark.slow, pytest.mark.adapter("opentelemetry")]


@pytest.fixture(scope="module")
def exporter() -> Any:
    from opentelemetry import trace
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    memory = InMemorySpanExporter()
    provider = opentelemetry.TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(memory))
    trace.set_tracer_provider(provider)
    return memory


@pytest.fixture(autouse=True)
def spans(exporter: Any) -> Iterator[Any]:
    from opentelemetry import context

    exporter.clear()
    token = context.attach(context.Context())
    producer.configure(mode="offline", spans=True)
    yield exporter
    producer.configure(mode="disabled")
    context.detach(token)


def traceparent_of(span: Any) -> str:
    context = span.get_span_context()
    return f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"


def test_each_event_has_the_span_in_which_it_was_logged(settings: Settings) -> None:
    from opentelemetry import trace

    tracer = trace.get_tracer("test")
    producer.log_metadata({"n": 0}, "model:x@1")
    with tracer.start_as_current_span("outer") as outer:
        producer.log_metadata({"n": 1}, "model:x@1")
        with tracer.start_as_current_span("inner") as inner:
            producer.log_metadata({"n": 2}, "model:x@1")
    found = [event.traceparent for event in read_outbox(settings)]
    assert found == [None, traceparent_of(outer), traceparent_of(inner)]


def test_runs_and_steps_are_spans_with_their_status_one_inside_the_other(settings: Settings, spans: Any) -> None:
    def train_badly() -> None:
        with producer.run_context("nightly", "r1"):
            with producer.step_context("load"):
                producer.log_metadata({"n": 1}, "model:x@1")
            with producer.step_context("train"):
                raise ValueError("broken")

    with pytest.raises(ValueError, match="broken"):
        train_badly()
    ended = {span.name: span for span in spans.get_finished_spans()}
    run, load, train = ended["run nightly"], ended["step load"], ended["step train"]
    assert (run.parent, load.parent.span_id, train.parent.span_id) == (None, run.context.span_id, run.context.span_id)
    assert load.attributes == {"runlore.run": "r1", "runlore.step": "load", "runlore.status": "completed"}
    assert (run.status.is_ok, load.status.is_ok, train.status.description) == (False, True, "broken")
    of = {type(event.fact): event.traceparent for event in read_outbox(settings) if event.step is None}
    assert of[RunStarted] == of[RunFinished] == traceparent_of(run)
    (logged,) = [event for event in read_outbox(settings) if isinstance(event.fact, MetadataLogged)]
    assert logged.traceparent == traceparent_of(load)
    _nothing_current()


def test_a_run_may_end_in_another_thread(spans: Any) -> None:
    run = producer.start_run("nightly")
    ending = threading.Thread(target=run.finish, args=("killed",))
    ending.start()
    ending.join()
    assert [(span.name, span.attributes["runlore.status"]) for span in spans.get_finished_spans()] == [
        ("run nightly", "killed")
    ]


def test_steps_of_concurrent_tasks_do_not_mix(spans: Any) -> None:
    async def work(name: str) -> None:
        async with producer.step_context(name):
            await asyncio.sleep(0)

    async def all_of_them() -> None:
        async with producer.run_context("nightly"):
            await asyncio.gather(*(work(f"s{number}") for number in range(5)))

    asyncio.run(all_of_them())
    ended = {span.name: span for span in spans.get_finished_spans()}
    run = ended.pop("run nightly")
    assert {span.parent.span_id for span in ended.values()} == {run.context.span_id}
    assert len(ended) == 5


def test_without_the_setting_runs_are_no_spans(settings: Settings, spans: Any) -> None:
    producer.configure(mode="offline")
    with producer.run_context("nightly"), producer.step_context("load"):
        pass
    assert spans.get_finished_spans() == ()
    assert [event.traceparent for event in read_outbox(settings) if isinstance(event.fact, StepStarted)] == [None]


def _nothing_current() -> None:
    from opentelemetry import trace

    assert not trace.get_current_span().get_span_context().is_valid
