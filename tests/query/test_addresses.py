"""What a client is told to read: every address that it cannot read is refused in words that say what to give."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runlore.query import Client
from runlore.query.remote import line
from runlore.schemas.errors import AccessDeniedError, NotFoundError, ServerUnavailableError, SettingsError
from runlore.store.folder import DataDir
from tests.events import LogBuilder
from tests.far_servers import TOKEN, Pages
from tests.query.views import fold_live


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    folder, log = tmp_path_factory.mktemp("page"), LogBuilder()
    log.log("model:churn@1", {"acc": 0.9})
    fold_live(DataDir(folder), log)
    pages = Pages()
    yield pages.url(folder).replace(f":{TOKEN}@", "")
    pages.close()


def test_the_token_is_the_one_given_or_the_address_has_or_the_variable(
    page: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNLORE_TOKEN", "another-token-of-another-page")
    named = page.replace("//", f"//:{TOKEN}@")
    for client in (Client(page, token=f"{TOKEN}\n"), Client(named), Client(f"{page}/?token={TOKEN}")):
        with client:
            assert client.position == 1
    with pytest.raises(AccessDeniedError, match="does not let this token in"), Client(named, token="wrong") as refused:
        assert refused.position
    with pytest.raises(SettingsError) as unsent:
        Client(page, token="a\nsecret")
    assert "secret" not in str(unsent.value)
    monkeypatch.delenv("RUNLORE_TOKEN")
    with pytest.raises(AccessDeniedError, match=r"wants a token: give token=…"), Client(page) as without:
        assert without.position


@pytest.mark.parametrize(
    ("address", "advice"), [("nats://127.0.0.1:1", r"nats://token@host:4222"), ("", "files need none")]
)
def test_a_token_that_would_open_nothing_is_refused(tmp_path: Path, address: str, advice: str) -> None:
    with pytest.raises(SettingsError, match=advice):
        Client(address or tmp_path, token="a-token")


def test_an_address_without_a_page_is_not_waited_for(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line, "NOBODY_SECONDS", 1e9)
    with pytest.raises(ServerUnavailableError, match="is not the address of a Runlore page"):
        assert Client(f"{page}/elsewhere", token=TOKEN).position
    with pytest.raises(ServerUnavailableError, match="does not speak TLS"):
        assert Client(page.replace("http:", "https:"), token=TOKEN).position


@pytest.mark.parametrize("address", ["https://", "http://:secret@host:x", "http://:secret@host:99999", "http://[::1"])
def test_what_is_no_address_is_refused_without_its_secrets(address: str) -> None:
    with pytest.raises(SettingsError, match="use an address such as") as refused:
        Client(address)
    assert "secret" not in str(refused.value)


def test_what_a_client_cannot_read_names_what_it_can(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"replica:FOLDER, a NATS server .* or the page"):
        Client("ftp://host")
    with pytest.raises(NotFoundError, match=r"`runlore replica --data-dir .*` makes it one"):
        Client(f"replica:{tmp_path}")
    data = DataDir(tmp_path)
    data.projection.mkdir()
    data.log.touch()
    with pytest.raises(NotFoundError, match=r"it is a projector.s folder"):
        Client(f"replica:{tmp_path}")
