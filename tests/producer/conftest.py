"""Fixtures of the producer's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from log_tools import read_outbox
from outbox_tools import UNIT

from runlore.producer import configure
from runlore.producer.outboxes.outbox import Outbox
from runlore.schemas import Event, Settings


@pytest.fixture
def offline(settings: Settings) -> Iterator[None]:
    """This process logs into its outbox and sends nothing."""
    configure(mode="offline")
    yield
    configure(mode="disabled")


@pytest.fixture
def emitted(settings: Settings, offline: None) -> Callable[[], list[Event]]:
    """Read all events of this process, in order."""
    return lambda: read_outbox(settings)


@pytest.fixture
def outbox(tmp_path: Path) -> Iterator[Outbox]:
    outbox = Outbox.create(tmp_path / "outbox", "producer-1")
    yield outbox
    outbox.close()


@pytest.fixture
def small_segments(monkeypatch: pytest.MonkeyPatch) -> None:
    """Segments of UNIT bytes."""
    for module in ("segment", "outbox"):
        monkeypatch.setattr(f"runlore.producer.outboxes.{module}.FIRST_BYTES", UNIT)
        monkeypatch.setattr(f"runlore.producer.outboxes.{module}.MOST_BYTES", UNIT)
