"""Events know the span in which they were logged, where the program has loaded OpenTelemetry; nothing imports it."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

import runlore.producer as producer
from runlore.producer.tracing import current_trace

OUTSIDE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture(autouse=True)
def _offline() -> Iterator[None]:
    producer.configure(mode="offline")
    yield
    producer.configure(mode="disabled")


def test_without_opentelemetry_an_event_has_the_trace_that_the_process_came_with() -> None:
    assert "opentelemetry.trace" not in sys.modules
    assert current_trace(OUTSIDE) == OUTSIDE
    assert current_trace(None) is None


def test_a_tracer_that_fails_is_one_warning(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setitem(sys.modules, "opentelemetry.trace", SimpleNamespace())  # half imported by another thread
    with caplog.at_level(logging.WARNING, "runlore"):
        for _ in range(3):
            producer.log_metadata({"loss": 0.5}, "model:x@1")
    assert len([record for record in caplog.records if "current span" in record.message]) == 1
