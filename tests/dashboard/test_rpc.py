"""`Client("http://…")`: the page's server answers the client's questions, for the projects that a token shows."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from runlore.query import Client, ModelVersion
from runlore.query.remote import line
from runlore.query.remote.methods import HTTP_TYPE
from runlore.schemas.errors import AccessDeniedError, NotFoundError, ServerUnavailableError, SettingsError
from runlore.store.folder import DataDir
from runlore.store.page_tokens import create_page_token
from tests.dashboard.conftest import serve, web_over
from tests.dashboard.test_tokens import ALPHA, BETA, two_projects
from tests.far_servers import TOKEN, Pages
from tests.patience import PATIENCE
from tests.query.views import client_of


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    client_of(tmp_path / "data", two_projects)
    pages = Pages()
    yield pages.url(tmp_path / "data").replace(f":{TOKEN}@", "")
    pages.close()


def test_a_token_shows_its_projects_to_a_client(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    alpha, _ = create_page_token(DataDir(tmp_path / "data"), ["alpha"], 3600)
    with Client(address, "alpha", token=alpha) as client:
        assert isinstance(client.get(f"model:{ALPHA}"), ModelVersion)
        assert client.list_kinds()
        assert BETA not in str([client.search(BETA), client.find(None), client.quarantine(), client.producers()])
        with pytest.raises(NotFoundError):
            client.get(f"model:{BETA}")
    for token in (alpha, "wrong", None):
        with Client(address, "beta", token=token) as client, pytest.raises(AccessDeniedError, match="RUNLORE_TOKEN"):
            client.get(f"model:{BETA}")
    monkeypatch.setenv("RUNLORE_TOKEN", TOKEN)
    monkeypatch.setenv("RUNLORE_URL", address)
    monkeypatch.setenv("RUNLORE_DATA_DIR", str(tmp_path / "elsewhere"))
    with Client(project="beta") as client:
        assert client.get(f"model:{BETA}")
        assert TOKEN not in repr(client)


def test_only_questions_are_posted(tmp_path: Path) -> None:
    with web_over(client_of(tmp_path, two_projects)) as web:
        path = "/rpc/v1/alpha/get"
        assert web.get(path).status_code == 405
        assert web.post("/rpc/v1/alpha", content=b"").status_code == 404
        assert web.post(path, data={"a": "form"}).status_code == 415
        assert posted(web, path, bytes(3_000_000)) == 413
        assert posted(web, path, b"\xc1") == 200  # an error that travels, as over NATS


def posted(web: TestClient, path: str, content: bytes) -> int:
    return web.post(path, content=content, headers={"Content-Type": HTTP_TYPE}).status_code


def test_a_page_that_starts_again_is_asked_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = serve(tmp_path, lambda log: log.log("model:m@1", {"a": 1}))
    try:
        with Client(page.url) as client:
            assert client.get("model:m@1").metadata == {"a": 1}
            page.stop()
            later = threading.Timer(0.3, page.start_again)
            later.start()
            assert client.get("model:m@1").metadata == {"a": 1}
            later.join()
            page.grow(lambda log: log.log("model:m@1", {"a": 2}))
            assert client.wait_for(2) == 2
            assert client.get("model:m@1").metadata == {"a": 2}
    finally:
        page.stop()
    monkeypatch.setattr(line, "SECONDS", 0.3)
    with Client(page.url) as client, pytest.raises(ServerUnavailableError, match="does not answer"):
        client.get("model:m@1")


def test_what_is_no_page_is_said(address: str) -> None:
    for wrong, told in (
        (f"{address}/deeper", "is not the address of a Runlore page"),
        (address.replace("127.0.0.1", "localhost"), "RUNLORE_DASHBOARD_HOSTS"),
    ):
        with Client(wrong) as client, pytest.raises(ServerUnavailableError, match=told):
            client.get("model:m")
    with pytest.raises(SettingsError, match="https://host"):
        Client("https://")


def test_a_forked_child_asks_over_connections_of_its_own(address: str) -> None:
    with Client(address, "alpha", token=TOKEN) as client:
        model = client.get(f"model:{ALPHA}")
        context = multiprocessing.get_context("fork")
        results = context.SimpleQueue()
        child = context.Process(target=lambda: results.put(model.metadata))
        child.start()
        assert results.get() == model.metadata
        child.join(PATIENCE)
        assert child.exitcode == 0
