"""The load of machine and process, logged on open runs where the settings ask for it."""

from __future__ import annotations

import sys

import pytest
from log_tools import read_outbox

from runlore.producer import configure, run_context
from runlore.schemas import Event, MetadataLogged, RunFinished, Settings, StorageSize
from tests.patience import PATIENCE, until


def _samples(settings: Settings) -> list[Event]:
    return [event for event in read_outbox(settings) if isinstance(event.fact, MetadataLogged)]


def test_open_runs_get_samples_and_ended_ones_none(settings: Settings) -> None:
    configure(mode="offline", system_metrics="0.02")
    with run_context("p", "first"):
        with run_context("p", "second"):
            until(lambda: {event.run for event in _samples(settings)} == {"first", "second"}, PATIENCE)
        ended = len([event for event in _samples(settings) if event.run == "second"])
        until(lambda: len(_samples(settings)) > 2 * ended + 3, PATIENCE)
    events = read_outbox(settings)
    end = next(
        at for at, event in enumerate(events) if event.fact == RunFinished("completed") and event.run == "second"
    )
    late = [event for event in events[end:] if event.run == "second" and isinstance(event.fact, MetadataLogged)]
    assert len(late) <= 1  # one that was being logged
    system = _samples(settings)[0].fact.metadata["system"]  # type: ignore[union-attr]  # filtered above
    assert system["process_memory"] > StorageSize(1_000_000)
    assert 0 < system["memory_percent"] <= 100
    configure(mode="disabled")


def test_without_the_setting_nothing_is_sampled(settings: Settings) -> None:
    configure(mode="offline")
    with run_context("p"):
        pass
    assert _samples(settings) == []
    configure(mode="disabled")


def test_without_psutil_the_run_goes_on_and_one_warning_says_what_to_install(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "psutil", None)
    monkeypatch.setattr("runlore.producer.warn._warned", set[str]())
    configure(mode="offline", system_metrics="0.01")
    for _ in range(3):
        with run_context("p"):
            until(lambda: "runlore[system]" in caplog.text, PATIENCE)
    assert caplog.text.count("runlore[system]") == 1
    assert _samples(settings) == []
    configure(mode="disabled")
