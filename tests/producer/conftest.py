"""Fixtures of the producer's tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from log_tools import read_outbox

from runlore.producer import configure
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
