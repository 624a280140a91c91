"""A pytest plugin: every `Client(folder)` asks from afar, over a real server, what beside the folder answers.

`python -m pytest -p tests.far_clients --transport nats tests/query`, in a process of its own. Over NATS each folder has
an account of the server for itself, so that its service answers its clients only; over HTTP a path.
"""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from runlore.cli.server import find_program
from runlore.dashboard.app import create_app
from runlore.query import Client, client
from runlore.query.remote.client import RemoteClient
from runlore.query.remote.service import serve
from runlore.query.scope import Scope as Reads
from runlore.query.view.connection import ViewReader
from runlore.schemas import read_settings
from runlore.schemas.settings import Settings
from tests.clusters import free_ports
from tests.patience import PATIENCE, until

TOKEN = "a-token-of-the-page-that-nobody-guesses"
ACCOUNTS = 4000
"""Folders in one session at most."""

LOCAL = {
    "test_reader.py": "it is about files",
    "test_find_plans.py": "it is about SQLite's plans",
    "test_statements.py": "it counts SQLite's statements",
    "test_stretches.py": "it runs the suite again itself",
    "test_remote.py": "it has its own service",
    "test_transports.py": "it runs the suite again itself",
    "test_evidence.py": "it reads log.db",
    "test_counts.py": "a part of the page, which reads files",
    "test_sketch.py": "a part of the page, which reads files",
    "test_stops.py": "a part of the page, which reads files",
    "test_records.py": "it asks the page, too, which reads files",
    "test_query_page.py": "it runs the pages of docs/ in processes",
}
"""Files of tests that do not make sense from afar, and why."""
LOCAL_TESTS = {
    "test_a_run_is_found_by_its_name_without_a_scan": "it is about SQLite's plans",
    "test_a_repr_says_what_it_is[client": "its client names the address",
    "test_a_repr_says_what_it_is[past client": "its client names the address",
}
"""Tests of other files, by how they begin."""


class Far(Protocol):
    """A server that answers for folders."""

    def url(self, where: Path) -> str:
        """The address at which a folder is answered for."""
        ...

    def close(self) -> None: ...


class _Services:
    """Services in a thread, each in an account of one server."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        users = "\n".join(f'a{n}: {{ users: [{{ user: "a{n}", password: "pw" }}] }}' for n in range(ACCOUNTS))
        config = folder / "nats.conf"
        config.write_text(f'listen: "127.0.0.1:{self.port}"\nmax_payload: 2MB\naccounts {{\n{users}\n}}\n')
        self._process = subprocess.Popen(
            [find_program(None), "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._known = dict[Path, tuple[str, asyncio.Task[None]]]()
        self._used = 0

    def url(self, where: Path) -> str:
        """The address at which a folder is answered for."""
        if where not in self._known:
            url = f"nats://a{self._used}:pw@127.0.0.1:{self.port}"
            self._used += 1
            settings = read_settings(url=url, data_dir=where, inbox_prefix="_INBOX")
            task = asyncio.run_coroutine_threadsafe(self._begin(settings), self._loop).result(PATIENCE)
            self._known[where] = url, task
        return self._known[where][0]

    async def _begin(self, settings: Settings) -> asyncio.Task[None]:
        ready = asyncio.Event()
        task = asyncio.create_task(serve(settings, ready))
        await ready.wait()
        return task

    def close(self) -> None:
        tasks = [task for _, task in self._known.values()]
        asyncio.run_coroutine_threadsafe(_end(tasks), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._process.terminate()
        self._process.wait()


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class _Pages:
    """Pages behind one port, each under a path as behind a proxy."""

    def __init__(self) -> None:
        config = uvicorn.Config(self._answer, port=0, log_level="error", lifespan="off", ws="none")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        until(lambda: self._server.started)
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]
        self._known = dict[Path, str]()
        self._apps = dict[str, Any]()

    def url(self, where: Path) -> str:
        if where not in self._known:
            name = f"f{len(self._known)}"
            local = Client.over(Reads(ViewReader(where), "default"))
            self._apps[name] = create_app(local, {f"127.0.0.1:{self.port}"}, TOKEN)
            self._known[where] = f"http://:{TOKEN}@127.0.0.1:{self.port}/{name}"
        return self._known[where]

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        _, name, path = scope["path"].split("/", 2)
        inside = {**scope, "path": f"/{path}", "raw_path": b""}
        await self._apps[name](inside, receive, send)

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(PATIENCE)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--transport", choices=("nats", "http"), default="nats")


@pytest.fixture(scope="session")
def _services(pytestconfig: pytest.Config) -> Iterator[Far]:
    with tempfile.TemporaryDirectory() as folder:
        far = _Services(Path(folder)) if pytestconfig.getoption("transport") == "nats" else _Pages()
        yield far
        far.close()


@pytest.fixture(scope="session", autouse=True)
def _far(_services: Far) -> Iterator[None]:
    plain, is_remote = RemoteClient._scope_of, client._is_remote

    def is_folder(where: Any) -> bool:
        return where is None or "://" not in str(where) or str(where).startswith("file://")

    def scope_of(where: Any, project: Any, clock: Any, token: Any) -> Any:
        if is_folder(where):
            folder = read_settings(project=project, data_dir=None if where is None else client._path(where)).data_dir
            where = _services.url(folder)
        return plain(where, project, clock, token)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(client, "_is_remote", lambda where: is_folder(where) or is_remote(where))
        patched.setattr(RemoteClient, "_scope_of", staticmethod(scope_of))
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        reasons = [why for name, why in LOCAL_TESTS.items() if item.name.startswith(name)]
        if why := LOCAL.get(item.path.name) or (reasons or [None])[0]:
            item.add_marker(pytest.mark.skip(why))
