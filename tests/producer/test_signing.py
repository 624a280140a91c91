"""Producers with a key: what they store is signed, and the others pay nothing."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from log_tools import outbox_files, read_outbox, rows_of

from runlore.producer import Producer, configure, log_metadata, run_context
from runlore.schemas import Event, Settings, SettingsError
from runlore.schemas.acceptance import Acceptance
from runlore.schemas.codec import decode_id
from runlore.schemas.signatures import owner_of
from runlore.store.key_files import make_key, read_key


@pytest.fixture
def key(tmp_path: Path) -> Path:
    make_key(tmp_path / "ada.pem")
    return tmp_path / "ada.pem"


@pytest.fixture
def signing(settings: Settings, key: Path) -> Iterator[Callable[[], list[Event]]]:
    configure(mode="offline", producer_key=key)
    yield lambda: read_outbox(settings)
    configure(mode="disabled")


def test_each_event_of_a_producer_with_a_key_is_signed(signing: Callable[[], list[Event]], key: Path) -> None:
    for number in range(3):
        log_metadata({"n": number}, "model:churn@1")
    events = signing()
    public = read_key(key).public_key().public_bytes_raw()
    assert [event.producer_seq for event in events] == [1, 2, 3]
    assert {event.signature and event.signature.key for event in events} == {public}
    assert {owner_of(event.producer_id) for event in events} == {public.hex()[:32]}


def test_the_stored_bytes_hold_their_signature(settings: Settings, signing: object) -> None:
    with run_context("p"):  # its events are prepared before they are stored
        log_metadata({"n": 1}, "model:churn@1")
    (path,) = outbox_files(settings)
    found = [Acceptance().event(decode_id(row.payload), row.subject, row.payload) for row in rows_of(path)]
    assert [type(event) for event in found] == [Event] * 3


def test_an_encrypted_key_needs_its_passphrase(settings: Settings, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"open sesame\n")
    secret.chmod(0o600)
    make_key(tmp_path / "locked.pem", b"open sesame")
    with pytest.raises(SettingsError, match="RUNLORE_PRODUCER_PASSPHRASE_FILE"):
        Producer(mode="offline", producer_key=tmp_path / "locked.pem")
    Producer(mode="offline", producer_key=tmp_path / "locked.pem", producer_passphrase_file=secret)


def test_a_key_that_is_not_there_is_an_error_at_once(settings: Settings, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="runlore key new"):
        configure(producer_key=tmp_path / "none.pem")


def test_children_are_told_the_key(signing: object, key: Path) -> None:
    with run_context("p") as run:
        assert run.env()["RUNLORE_PRODUCER_KEY"] == str(key)


def test_a_producer_without_a_key_loads_no_cryptography(tmp_path: Path) -> None:
    program = (
        "import sys; from runlore.producer import configure, log_metadata;"
        f"configure(mode='offline', data_dir={str(tmp_path)!r}); log_metadata({{'n': 1}}, 'model:m@1');"
        "sys.exit('cryptography' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
