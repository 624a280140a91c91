"""A pytest plugin: every `Client(folder)` asks from afar, over a real server, what beside the folder answers.

`python -m pytest -p tests.far_clients --transport nats tests/query`, in a process of its own. Over NATS each folder has
an account of the server for itself, so that its service answers its clients only; over HTTP a path.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from runlore.query import client
from runlore.query.remote.client import RemoteClient
from runlore.schemas import read_settings
from tests.far_servers import Far, Pages, Services

LOCAL = {
    "test_reader.py": "it is about files",
    "test_find_plans.py": "it is about SQLite's plans",
    "test_statements.py": "it counts SQLite's statements",
    "test_stretches.py": "it runs the suite again itself",
    "test_remote.py": "it has its own service",
    "test_remote_line.py": "it has its own service",
    "test_remote_tls.py": "it has its own services",
    "test_addresses.py": "it has its own page",
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
    "test_a_client_of_nothing_says_so": "a service without a view takes no questions",
    "test_a_repr_says_what_it_is[client": "its client names the address",
    "test_a_repr_says_what_it_is[past client": "its client names the address",
}
"""Tests of other files, by how they begin."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--transport", choices=("nats", "http"), default="nats")


@pytest.fixture(scope="session")
def _services(pytestconfig: pytest.Config) -> Iterator[Far]:
    with tempfile.TemporaryDirectory() as folder:
        far = Services(Path(folder)) if pytestconfig.getoption("transport") == "nats" else Pages()
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
