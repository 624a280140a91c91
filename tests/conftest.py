"""Real servers in real folders: every test that needs NATS starts its own on a free loopback port."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import runlore.producer as producer
from runlore.cli.server import EmbeddedServer
from runlore.cli.stack import EmbeddedStack
from runlore.schemas import Settings, read_settings
from runlore.store.folder import DataDir
from tests.patience import PATIENCE


@pytest.fixture(autouse=True)
def _clean_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees the developer's settings, and none writes outside its folder."""
    for name in list(os.environ):
        if name.startswith("RUNLORE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("RUNLORE_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("RUNLORE_DESCRIBE", "off")  # an event more with each run, at a moment of its own


@pytest.fixture
def settings() -> Settings:
    """Settings of a fresh data folder."""
    return read_settings()


@pytest.fixture
def data(settings: Settings) -> DataDir:
    return DataDir(settings.data_dir)


@pytest.fixture
def server(data: DataDir) -> Iterator[EmbeddedServer]:
    """A running nats-server over the test's data folder; `data.endpoint` says where."""
    server = EmbeddedServer(data)
    server.start()
    yield server
    server.close()


@pytest.fixture
def stack(settings: Settings) -> Iterator[EmbeddedStack]:
    """Server, keeper and projector over the test's folder; this process's producer logs into it."""
    with EmbeddedStack(settings, lambda text: None) as running:
        assert running.wait_ready(_sleep, PATIENCE)
        producer.configure()
        yield running
        producer.configure(mode="disabled")


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)
    return False


LONG = (
    "test_readme", "test_stream_mismatch", "test_find_fuzz", "test_service", "test_up", "test_disasters", "test_standby",
    "test_kills", "test_rebuild", "test_lost_log", "test_logging_metadata", "test_projector_faults", "test_holes",
    "test_walk", "test_past_model", "test_compose",
)  # fmt: skip


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first, so that no process is left alone with one at the end (`--no-loadscope-reorder` keeps this)."""
    items.sort(key=lambda item: not item.path.name.startswith(LONG))  # stable: else as collected
