"""Folded logs, and the page over them: in this process for routes, as a server of its own for the browser."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from starlette.testclient import TestClient

from runlore.dashboard import create_app
from runlore.query import Client
from runlore.store.folder import DataDir
from runlore.store.private_files import read_struct
from runlore.store.records import DashboardStatus
from tests.dashboard.demo_log import write_demo, write_hostile
from tests.events import LogBuilder
from tests.patience import PATIENCE, until
from tests.query.views import client_of

Web = Callable[..., TestClient]


@pytest.fixture
def demo(tmp_path: Path) -> Client:
    return client_of(tmp_path / "demo", write_demo, archived=True)


@pytest.fixture
def web(demo: Client) -> Iterator[TestClient]:
    with web_over(demo) as client:
        yield client


@pytest.fixture
def hostile(tmp_path: Path) -> Iterator[TestClient]:
    with web_over(client_of(tmp_path / "hostile", write_hostile, archived=True)) as client:
        yield client


def web_over(client: Client, token: str | None = None, seconds: float = PATIENCE) -> TestClient:
    return TestClient(create_app(client, {"testserver"}, token, seconds), follow_redirects=False)


class Server:
    """A page in a process of its own over a data folder whose log can grow."""

    def __init__(self, folder: Path, log: LogBuilder) -> None:
        self.folder, self.log = folder, log
        self._start(0)

    def _start(self, port: int) -> None:
        environ = {
            **os.environ,
            "RUNLORE_DATA_DIR": str(self.folder),
            "RUNLORE_DASHBOARD_PORT": str(port),
            "RUNLORE_DASHBOARD_NO_TOKEN": "on",
        }
        self._process = subprocess.Popen(
            [sys.executable, "-m", "runlore.dashboard"], env=environ, stderr=subprocess.PIPE, text=True
        )
        self.url = until(self._said_by_now)

    def _said_by_now(self) -> str | None:
        assert self._process.poll() is None
        status = read_struct(DataDir(self.folder).dashboard, DashboardStatus)
        return status.http if status is not None and status.pid == self._process.pid else None

    def start_again(self) -> None:
        """After `stop`, a new process at the same address."""
        port = urlsplit(self.url).port
        assert port is not None
        self._start(port)

    def grow(self, write: Callable[[LogBuilder], object]) -> None:
        """Fold what `write` adds into the live view."""
        known = len(self.log.rows)
        write(self.log)
        view = self.log.fold_into(DataDir(self.folder).current_view(), after=known)
        view.close()

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code, and all that it ever complained about."""
        self._process.send_signal(number)
        try:
            _, complaints = self._process.communicate(timeout=90)
        finally:
            self._process.kill()
        return self._process.returncode, complaints


def serve(folder: Path, write: Callable[[LogBuilder], object]) -> Server:
    log = LogBuilder()

    def keep(builder: LogBuilder) -> None:
        write(builder)
        log.rows, log.project = builder.rows, builder.project

    client_of(folder, keep, archived=True).close()
    return Server(folder, log)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    # Not for the session: while it is there, its event loop runs in this thread and asyncio.run refuses.
    from playwright.sync_api import sync_playwright

    from tests.dashboard.browsing import CHROMIUM, OPTIONS

    assert CHROMIUM is not None, "CI installs Debian's chromium; see .ci/run"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def demo_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = serve(tmp_path_factory.mktemp("demo"), write_demo)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def hostile_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    server = serve(tmp_path_factory.mktemp("hostile"), write_hostile)
    yield server
    server.stop()
