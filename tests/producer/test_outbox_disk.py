"""A small disk that outboxes fill: what is there can leave, and then logging goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from log_tools import logged, make_stream, until

from runlore.cli.server import EmbeddedServer
from runlore.producer import Producer, drain, outbox_status
from runlore.schemas import EntityRef, MetadataLogged, OutboxError, read_settings
from runlore.store.folder import DataDir
from tests.open_servers import service_login
from tests.small_disk import fill_with_zeros, small_disk


@pytest.fixture(params=["4m", "20m"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A data folder on a disk of its own."""
    with small_disk(tmp_path / "disk", request.param) as disk:
        monkeypatch.setenv("RUNLORE_DATA_DIR", str(disk / "data"))
        yield disk / "data"


@pytest.fixture
def server(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EmbeddedServer]:
    """A server on another disk."""
    data = DataDir(tmp_path / "server")
    server = EmbeddedServer(data)
    server.start()
    for name, value in service_login(data).items():
        monkeypatch.setenv(name, value)
    make_stream(read_settings())
    yield server
    server.close()


def fact(number: int) -> MetadataLogged:
    return MetadataLogged((EntityRef("model", "churn"),), {"n": number, "pad": "x" * 1500})


def fill(producer: Producer) -> list[int]:
    """Log until the disk is full; what was stored."""
    stored: list[int] = []
    for number in range(100_000):
        try:
            producer.emit_nowait(fact(number))
            stored.append(number)
        except OutboxError as error:
            assert "full" in str(error) or "No space" in str(error)  # noqa: PT017 -- the loop ends with it
            return stored
    raise AssertionError("the disk is not small")


def test_a_disk_filled_by_an_ended_process_is_drained(server: EmbeddedServer, folder: Path) -> None:
    with Producer(mode="offline") as producer:
        stored = fill(producer)
        for _ in range(100):
            with pytest.raises(OutboxError):
                producer.emit_nowait(fact(-1))
    settings = read_settings()
    assert drain(settings, 90) == (len(stored), 0, 0)
    assert logged(settings) == stored
    assert not [one for one in outbox_status(DataDir(folder)) if one.waiting or one.dead_letters]
    with Producer() as producer:
        producer.emit_nowait(fact(-2)).wait(90)


def test_a_process_that_filled_its_disk_goes_on_when_the_server_is_back(
    server: EmbeddedServer, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runlore.producer.sender.ACK_SECONDS", 1.0)
    assert server.pid
    with Producer() as producer:
        os.kill(server.pid, signal.SIGSTOP)
        try:
            stored = fill(producer)
        finally:
            os.kill(server.pid, signal.SIGCONT)

        def goes_on() -> bool:
            try:
                producer.emit_nowait(fact(-2))
            except OutboxError:
                return False
            return True

        until(goes_on)
        assert producer.flush(90).unsent == 0
    found = logged(read_settings())
    assert [number for number in found if number >= 0] == stored
    assert found.count(-2) == 1


def test_the_reserve_is_there_again_when_there_is_room(server: EmbeddedServer, folder: Path) -> None:
    with Producer() as producer:
        producer.emit_nowait(fact(0)).wait(90)
    reserve = folder / "reserve"
    assert reserve.stat().st_size > 100_000
    fill_with_zeros(folder / "hog")
    with Producer(mode="offline") as producer:
        fill(producer)
    (folder / "hog").unlink()
    with Producer(mode="offline") as producer:
        producer.emit_nowait(fact(1))
    assert reserve.exists()
