"""A pytest plugin: every `Client(folder)` asks a query service over a real NATS server, which reads the folder.

`python -m pytest -p tests.far_clients tests/query`, in a process of its own. Each folder has an account of the server
for itself, so that its service answers its clients only.
"""

from __future__ import annotations

import asyncio
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runlore.cli.server import find_program
from runlore.query import client
from runlore.query.remote.client import RemoteClient
from runlore.query.remote.service import serve
from runlore.schemas import read_settings
from runlore.schemas.settings import Settings
from tests.clusters import free_ports
from tests.patience import PATIENCE

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

    def forget(self) -> None:
        """End the services of one test."""
        tasks = [task for _, task in self._known.values()]
        self._known.clear()
        asyncio.run_coroutine_threadsafe(_end(tasks), self._loop).result(PATIENCE)

    def close(self) -> None:
        self.forget()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._process.terminate()
        self._process.wait()


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@pytest.fixture(scope="session")
def _services() -> Iterator[_Services]:
    with tempfile.TemporaryDirectory() as folder:
        services = _Services(Path(folder))
        yield services
        services.close()


@pytest.fixture(scope="session", autouse=True)
def _far(_services: _Services) -> Iterator[None]:
    plain, is_remote = RemoteClient._scope_of, client._is_remote

    def is_folder(where: Any) -> bool:
        return where is None or "://" not in str(where) or str(where).startswith("file://")

    def scope_of(where: Any, project: Any, clock: Any) -> Any:
        if is_folder(where):
            folder = read_settings(project=project, data_dir=None if where is None else client._path(where)).data_dir
            where = _services.url(folder)
        return plain(where, project, clock)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(client, "_is_remote", lambda where: is_folder(where) or is_remote(where))
        patched.setattr(RemoteClient, "_scope_of", staticmethod(scope_of))
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        reasons = [why for name, why in LOCAL_TESTS.items() if item.name.startswith(name)]
        if why := LOCAL.get(item.path.name) or (reasons or [None])[0]:
            item.add_marker(pytest.mark.skip(why))
