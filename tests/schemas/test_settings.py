from __future__ import annotations

import os
from pathlib import Path

import pytest

from runlore.cli.options import settings_for
from runlore.producer import Producer, configure
from runlore.query import Client
from runlore.schemas import SettingsError, read_settings


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_a_tilde_is_the_home_folder_wherever_a_data_folder_is_named(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for given in ("~/rl", Path("~/rl")):
        try:
            assert configure(data_dir=given, mode="offline").data_dir == home / "rl"
        finally:
            configure(mode="disabled")
        assert Producer(data_dir=given).settings.data_dir == home / "rl"
        assert read_settings({}, data_dir=given).data_dir == home / "rl"
        assert settings_for(Path(given)).data_dir == home / "rl"
        data = Client(given).scope.reader.data
        assert data is not None
        assert data.root == home / "rl"
    monkeypatch.setenv("RUNLORE_DATA_DIR", "~/rl")
    monkeypatch.setenv("RUNLORE_CREDENTIALS", "~/rl.creds")
    monkeypatch.setenv("RUNLORE_NATS_SERVER", "~/bin/nats-server")
    settings = read_settings()
    assert settings.data_dir == home / "rl"
    assert settings.credentials == str(home / "rl.creds")
    assert settings.nats_server == str(home / "bin" / "nats-server")


@pytest.mark.parametrize("given", ["~nobody-of-that-name/x", ""])
def test_an_unusable_folder_setting_is_named_in_the_error(given: str) -> None:
    with pytest.raises(SettingsError, match=r"^data_dir='"):
        configure(data_dir=given)
    with pytest.raises(SettingsError):
        Client(given)


def test_a_relative_folder_in_a_working_folder_that_was_removed_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    with pytest.raises(SettingsError, match=r"RUNLORE_DATA_DIR='.runlore': the working folder was removed"):
        read_settings({})
    assert read_settings({"RUNLORE_DATA_DIR": str(tmp_path)}).data_dir == tmp_path
    os.chdir(tmp_path)


@pytest.mark.parametrize(("name", "value"), [("mode", "onlin"), ("project", "a\nb"), ("flush_timeout", "soon")])
def test_texts_given_in_code_are_checked_like_those_of_the_environment(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name}="):
        configure(**{name: value})


@pytest.mark.parametrize(
    "url",
    [
        "nats://",
        "nats://127.0.0.1:99999",
        "a:1,nats://b:x",
        "nats://ada:se#cret@host:4222",
        "nats://[::1",
        "ada:se/cret@h:x",
    ],
)
def test_an_address_that_nothing_can_connect_to_is_refused_without_its_password(url: str) -> None:
    targets = url.replace("nats", "https") if "://" in url else f"https://{url}"
    for variable, given in (("RUNLORE_URL", url), ("RUNLORE_CHECKPOINT_TARGETS", targets)):
        with pytest.raises(SettingsError, match=f"^{variable}=") as refused:
            read_settings({variable: given})
        assert not any(part in str(refused.value) for part in ("ada", "se#", "'se", "cret"))


def test_addresses_that_can_be_connected_to_are_taken_as_they_are() -> None:
    for url in ("host", "host:4222", "nats://ada:se%23cret@[::1]:4222", "tls://a, ws://b:80,", "nats://10.0.0.1:0"):
        assert read_settings({"RUNLORE_URL": url}).url == url
