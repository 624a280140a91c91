"""Running projectors: in this process as threads, or as processes of their own."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from runlore.projector import ArchiveReader, rebuild_view
from runlore.projector.folder_service import FolderService
from runlore.projector.service import Projector
from runlore.projector.views.digest import view_digest
from runlore.schemas import Settings
from runlore.store.folder import DataDir
from runlore.store.log_rows import LogRow
from runlore.store.private_files import read_struct
from runlore.store.records import ProjectorStatus
from runlore.store.sqlite import sqlite
from tests.projector.nats_tools import made_events, publish_all, until


class Running:
    """A projector, or another service, in a thread; `error` is what `run` raised."""

    def __init__(self, settings: Settings, service: FolderService | None = None) -> None:
        self.projector = service or Projector(settings)
        self.state = self.projector.state
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.projector.run()
        except BaseException as error:  # whatever ends the service, the test looks at it
            self.error = error

    def folded(self, position: int) -> None:
        """Wait until this position is queryable."""
        until(lambda: self.state.folded >= position or self.error is not None)
        if self.error is not None:
            raise self.error

    def ended(self) -> BaseException | None:
        """Wait for the end that comes by itself; its error."""
        self._thread.join(90)
        assert not self._thread.is_alive()
        return self.error

    def stop(self) -> None:
        self.projector.stop()
        self.ended()


@contextlib.contextmanager
def running(settings: Settings, service: FolderService | None = None) -> Iterator[Running]:
    started = Running(settings, service)
    try:
        yield started
    finally:
        started.stop()


def spawn(settings: Settings, **environ: str) -> subprocess.Popen[str]:
    """``python -m runlore.projector`` over the same folder and server."""
    variables = {**os.environ, "RUNLORE_DATA_DIR": str(settings.data_dir), **environ}
    if settings.url:
        variables["RUNLORE_URL"] = settings.url
    return subprocess.Popen(
        [sys.executable, "-m", "runlore.projector"], stderr=subprocess.PIPE, text=True, env=variables
    )


def status(data: DataDir) -> ProjectorStatus | None:
    return read_struct(data.status, ProjectorStatus)


def get(url: str) -> tuple[int, str]:
    """Status and body of one HTTP request."""
    try:
        with urllib.request.urlopen(url, timeout=90) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def get_json(url: str) -> tuple[int, dict[str, Any]]:
    code, body = get(url)
    return code, msgspec.json.decode(body)


def log_rows(path: Path) -> list[LogRow]:
    reader = ArchiveReader(path)
    rows: list[LogRow] = []
    try:
        while some := reader.read(rows[-1].position if rows else 0, 5000):
            rows += some
    finally:
        reader.close()
    return rows


def assert_view_is_what_the_log_says(data: DataDir) -> None:
    """The live view equals one folded afresh. Stops no projector: call it when none runs."""
    before = view_digest(data.current_view())
    assert view_digest(rebuild_view(data).path) == before


def history(data: DataDir) -> list[Any]:
    """All values ever logged, in log order."""
    connection = sqlite.connect(f"{data.current_view().as_uri()}?mode=ro", uri=True)
    try:
        return connection.execute(
            "SELECT position, CAST(value AS INTEGER) FROM metadata_history WHERE path = 'n' ORDER BY position"
        ).fetchall()
    finally:
        connection.close()


def archive_some(settings: Settings) -> None:
    with running(settings) as service:
        until(lambda: service.state.connected)
        publish_all(settings, made_events(20))
        service.folded(20)
