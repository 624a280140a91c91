"""Reading over TLS with a private authority, over NATS and HTTP, and from two services at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from runlore.cli.server import EmbeddedServer
from runlore.query import Client
from runlore.query.remote.service import _Service
from runlore.schemas import read_settings
from runlore.schemas.errors import AccessDeniedError
from tests.far_servers import Pages
from tests.open_servers import open_server
from tests.query.serving import served
from tests.query.test_remote import both, sample
from tests.query.views import client_of
from tests.signing_in import Certificates, make_certificates

KNOWN = {"tags": {"a", "b"}, "n": 10**30}


@contextmanager
def over_nats(folder: Path, files: Certificates) -> Iterator[str]:
    extra = f'tls {{ cert_file: "{files.server}", key_file: "{files.server_key}" }}'
    with open_server(folder, jetstream=False, extra=extra) as (_, settings):
        url = f"tls://{str(settings.url).partition('://')[2]}"
        with served(read_settings(url=url, tls_ca=str(files.ca), data_dir=folder / "data")):
            yield url


@contextmanager
def over_http(folder: Path, files: Certificates) -> Iterator[str]:
    pages = Pages(files)
    try:
        yield pages.url(folder / "data")
    finally:
        pages.close()


@pytest.mark.parametrize("far", [over_nats, over_http])
def test_a_private_authority_is_named_by_a_setting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, far: Callable[[Path, Certificates], AbstractContextManager[str]]
) -> None:
    files = make_certificates(tmp_path / "certificates")
    client_of(tmp_path / "data", lambda log: log.log("model:m@1", KNOWN))
    with far(tmp_path, files) as address:
        monkeypatch.setenv("RUNLORE_TLS_CA", str(files.ca))
        with Client(address) as client:
            assert client.get("model:m@1").metadata == KNOWN
        monkeypatch.delenv("RUNLORE_TLS_CA")
        with Client(address) as client, pytest.raises(AccessDeniedError, match="RUNLORE_TLS_CA"):
            client.get("model:m@1")


def test_two_services_share_the_questions(server: EmbeddedServer, monkeypatch: pytest.MonkeyPatch) -> None:
    local, far = both(sample())
    plain, asked = _Service._answer, set[int]()

    async def noted(self: _Service, request: object) -> None:
        asked.add(id(self))
        await plain(self, request)  # type: ignore[arg-type]

    monkeypatch.setattr(_Service, "_answer", noted)
    with served(), served(), far, ThreadPoolExecutor(4) as readers:
        found = list(readers.map(lambda _: far.get("model:churn@1").metadata, range(60)))
    assert found == [local.get("model:churn@1").metadata] * 60
    assert len(asked) == 2
