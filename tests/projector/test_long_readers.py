"""A long reader makes write-ahead logs grow; once it has gone they shrink, also when nothing more is logged."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest
from folders import append, folding, make_folder, some_log
from nats_tools import made_events, publish_all, until
from service_tools import running

from runlore.cli.server import EmbeddedServer
from runlore.projector.archiving import archive_stage
from runlore.projector.views import care
from runlore.schemas import Settings
from runlore.store.folder import DataDir
from runlore.store.sqlite import open_reader

LIMIT = 100_000


@contextlib.contextmanager
def long_reader(path: Path) -> Iterator[None]:
    """A reader that keeps its transaction open."""
    with contextlib.closing(open_reader(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sqlite_master").fetchall()
        yield


def wal_bytes(path: Path) -> int:
    return path.with_name(f"{path.name}-wal").stat().st_size


def test_the_views_write_ahead_log_shrinks_after_its_reader_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(care, "WAL_BYTES", LIMIT)
    monkeypatch.setattr(care, "CHECKPOINT_SECONDS", 0.1)
    log = some_log(10)
    data = make_folder(tmp_path / "data", log)
    with folding(data) as fold:
        fold.reached(10)
        view = data.current_view()
        with long_reader(view):
            for number in range(300):
                log.log("model:m1@1", {f"k{number % 40}": "x" * 400})
            append(data, log, after=10)
            fold.reached(310)
            assert wal_bytes(view) > LIMIT
        until(lambda: wal_bytes(view) <= LIMIT)
        assert data.current_view() == view


def test_the_logs_write_ahead_log_shrinks_after_its_reader_has_gone(
    settings: Settings, data: DataDir, server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_stage, "WAL_BYTES", LIMIT)
    monkeypatch.setattr(archive_stage, "CHECKPOINT_SECONDS", 0.1)
    with running(settings) as service:
        until(lambda: service.state.connected)
        with long_reader(data.log):
            publish_all(settings, made_events(300))
            service.folded(300)
            assert wal_bytes(data.log) > LIMIT
        until(lambda: wal_bytes(data.log) <= LIMIT)
