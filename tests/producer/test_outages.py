"""What the relay does when the server is away, slow, stopped, or says no."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from log_tools import (
    connected,
    logged,
    make_stream,
    old_outbox,
    outbox_files,
    read_stream,
    run_python,
    start_python,
    until,
)
from nats.js.api import StreamConfig

from runlore.cli.server import EmbeddedServer, find_program
from runlore.producer import OutboxKeeper, Producer, drain, outbox_status
from runlore.producer.outboxes.look import rows_of
from runlore.producer.outboxes.outbox import Outbox
from runlore.schemas import EntityRef, MetadataLogged, NotSentError, Settings, read_settings
from runlore.schemas.subjects import EPOCH_KEY, STREAM_NAME
from runlore.store.folder import DataDir

EMIT_FOR_EVER = """
import sys, time
from runlore.producer import log_metadata
number = 0
while True:
    number += 1
    log_metadata({"n": number}, "model:churn")
    print(number, flush=True)
    time.sleep(0.0005)
"""


def fact(name: str = "churn", **metadata: object) -> MetadataLogged:
    return MetadataLogged((EntityRef("model", name),), metadata)


def killed_at(lines: int, process: subprocess.Popen[str]) -> int:
    """Kill the process after it printed that number of lines; the last number that it printed."""
    assert process.stdout
    last = 0
    for _ in range(lines):
        last = int(process.stdout.readline())
    process.kill()
    process.wait()
    for line in process.stdout.read().splitlines():
        last = int(line) if line.isdigit() and int(line) > last else last
    process.stdout.close()
    return last


def test_events_reach_a_server_that_comes_later(settings: Settings, data: DataDir) -> None:
    with Producer() as producer:
        receipts = [producer.emit_nowait(fact(n=number)) for number in range(10)]
        server = EmbeddedServer(data)
        server.start()
        try:
            time.sleep(0.3)  # the server is there, its stream is not
            make_stream(settings)
            assert [receipt.wait(90) for receipt in receipts] == list(range(1, 11))
        finally:
            producer.close()
            server.close()


def test_a_restarted_server_loses_and_doubles_nothing(server: EmbeddedServer, settings: Settings) -> None:
    make_stream(settings)
    with Producer() as producer:
        for number in range(6000):
            producer.emit_nowait(fact(n=number))
            if number in (2000, 4000):
                assert server.pid
                os.kill(server.pid, signal.SIGKILL)
                server.close()
                server.start()
        assert producer.flush(90) == (0, 0)
    assert logged(settings) == list(range(6000))


def test_a_stopped_server_delays_and_loses_nothing(
    server: EmbeddedServer, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runlore.producer.sender.ACK_SECONDS", 0.5)
    make_stream(settings)
    with Producer() as producer:
        producer.emit_nowait(fact(n=0)).wait(90)
        assert server.pid
        os.kill(server.pid, signal.SIGSTOP)
        try:
            receipts = [producer.emit_nowait(fact(n=number)) for number in range(1, 1500)]
            time.sleep(1.2)
        finally:
            os.kill(server.pid, signal.SIGCONT)
        assert receipts[-1].wait(90)
    assert logged(settings) == list(range(1500))


def test_a_batch_with_stored_events_goes_on_behind_them(
    server: EmbeddedServer, settings: Settings, tmp_path: Path
) -> None:
    make_stream(settings)
    with Producer(mode="offline") as offline:
        for number in range(500):
            offline.emit_nowait(fact(n=number))
    (path,) = outbox_files(settings)
    old_outbox(path.parent / "copy-of-the-first-200.db", rows_of(path)[:200])
    whole = path.rename(tmp_path / path.name)
    assert drain(settings, 90).unsent == 0
    assert len(logged(settings)) == 200
    whole.rename(path)
    assert drain(settings, 90) == (500, 0, 0)
    assert logged(settings) == list(range(500))


def test_a_server_without_batches_gets_single_messages(server: EmbeddedServer, settings: Settings) -> None:
    async def plain_stream() -> None:
        async with connected(settings) as connection:
            await connection.jetstream().add_stream(
                StreamConfig(name=STREAM_NAME, subjects=["runlore.>"], metadata={EPOCH_KEY: "epoch-1"})
            )

    asyncio.run(plain_stream())
    with Producer() as producer:
        receipts = [producer.emit_nowait(fact(n=number)) for number in range(50)]
        assert [receipt.wait(90) for receipt in receipts] == list(range(1, 51))
    assert logged(settings) == list(range(50))


@pytest.fixture
def strict_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Settings]:
    """A server that takes 4 kB a message and no events about secret models."""
    config = tmp_path / "strict.conf"
    config.write_text(
        f"""
        host: 127.0.0.1, port: -1, max_payload: 4096
        jetstream {{ store_dir: "{tmp_path}/strict" }}
        authorization {{ users: [ {{ user: u, password: pw,
          permissions: {{ publish: {{ deny: ["runlore.*.model.Secret.>", "runlore.*.model.Secret"] }} }} }} ] }}
        """
    )
    ports = tmp_path / "ports"
    ports.mkdir()
    process = subprocess.Popen(
        [find_program(None), "-c", str(config), "--ports_file_dir", str(ports)], stderr=subprocess.DEVNULL
    )
    try:
        file = until(lambda: [path for path in ports.glob("*.ports") if path.stat().st_size > 20])[0]
        port = file.read_text().partition("127.0.0.1:")[2].partition('"')[0]
        monkeypatch.setenv("RUNLORE_URL", f"nats://u:pw@127.0.0.1:{port}")
        settings = read_settings()
        make_stream(settings)
        yield settings
    finally:
        process.kill()
        process.wait()


def test_what_the_server_never_takes_becomes_a_dead_letter_and_the_rest_goes_on(
    strict_server: Settings, data: DataDir, caplog: pytest.LogCaptureFixture
) -> None:
    with Producer(mode="offline") as producer:
        for number in range(100):
            producer.emit_nowait(fact("Secret" if number % 10 == 3 else "churn", n=number))
            if number == 50:
                producer.emit_nowait(fact(n=-1, large="x" * 5000))
    assert drain(strict_server, 90) == (101, 0, 11)
    assert logged(strict_server) == [number for number in range(100) if number % 10 != 3]
    (status,) = outbox_status(data)
    assert len(status.dead_letters) == 11
    assert {letter.subject for letter in status.dead_letters if "permit" in letter.reason} == {
        "runlore.default.model.Secret"
    }
    assert [letter.seq for letter in status.dead_letters if "4,096" in letter.reason] == [52]
    assert len([record for record in caplog.records if "dead letters" in record.message]) == 2


def test_the_receipt_of_a_dead_letter_says_why(strict_server: Settings) -> None:
    with Producer() as producer:
        refused = producer.emit_nowait(fact("Secret", n=1))
        fine = producer.emit_nowait(fact(n=2))
        assert fine.wait(90) == 1
        with pytest.raises(NotSentError, match="not permit"):
            refused.wait(90)
        assert producer.flush(90) == (0, 1)


def test_dead_letters_are_sent_again_when_asked(server: EmbeddedServer, settings: Settings) -> None:
    make_stream(settings)
    with Producer(mode="offline") as producer:
        producer.emit_nowait(fact(n=1))
        producer.emit_nowait(fact(n=2))
    (path,) = outbox_files(settings)
    outbox = Outbox.adopt(path)
    assert outbox
    outbox.add_dead_letters(outbox.read(0)[:1], "for the test")
    outbox.close()
    assert drain(settings, 90) == (1, 0, 1)
    assert drain(settings, 90, retry_dead_letters=True) == (1, 0, 0)
    assert sorted(logged(settings)) == [1, 2]
    assert outbox_files(settings) == []


def test_sigkill_of_a_step_loses_nothing_that_returned(server: EmbeddedServer, settings: Settings) -> None:
    make_stream(settings)
    last = killed_at(400, start_python(EMIT_FOR_EVER))
    assert drain(settings, 90).unsent == 0
    numbers = logged(settings)
    assert numbers == list(range(1, len(numbers) + 1))
    assert len(numbers) >= last >= 400


@pytest.mark.slow
def test_sigkill_at_many_moments_loses_nothing(server: EmbeddedServer, settings: Settings) -> None:
    make_stream(settings)
    returned = 0
    for moment in range(1, 1000, 90):
        returned += killed_at(moment, start_python(EMIT_FOR_EVER))
    assert drain(settings, 90).unsent == 0
    events = read_stream(settings)
    by_producer: dict[str, list[int]] = {}
    for _, event in events:
        by_producer.setdefault(event.producer_id, []).append(event.producer_seq)
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in by_producer.values())
    assert len(events) >= returned


def test_a_live_relay_adopts_what_a_killed_process_left(
    server: EmbeddedServer, settings: Settings, data: DataDir
) -> None:
    make_stream(settings)
    last = killed_at(50, start_python(EMIT_FOR_EVER, RUNLORE_MODE="offline"))
    assert [status.alive for status in outbox_status(data)] == [False]
    keeper = OutboxKeeper(settings)
    keeper.start()
    until(lambda: not outbox_files(settings))
    keeper.stop()
    assert len(logged(settings)) >= last


def test_an_outbox_in_use_is_left_to_its_process(server: EmbeddedServer, settings: Settings, data: DataDir) -> None:
    make_stream(settings)
    with Producer(mode="offline") as producer:
        producer.emit_nowait(fact(n=1))
        assert [status.alive for status in outbox_status(data)] == [True]
        assert drain(settings, 90) == (0, 0, 0)
        assert logged(settings) == []


def test_a_broken_outbox_file_stops_no_other(server: EmbeddedServer, settings: Settings) -> None:
    make_stream(settings)
    with Producer(mode="offline") as producer:
        producer.emit_nowait(fact(n=1))
    (settings.data_dir / "outbox" / "000.db").write_bytes(b"not a database" * 100)
    (settings.data_dir / "outbox" / "001.db").write_bytes(b"")
    assert drain(settings, 90).unsent == 0
    assert logged(settings) == [1]
    assert outbox_files(settings) == []
    assert (settings.data_dir / "outbox" / "damaged" / "000.db").read_bytes() == b"not a database" * 100


STEP = """
import runlore.producer.sending.allowance
runlore.producer.sending.allowance.DEFAULT_SECONDS = runlore.producer.sending.allowance.CONNECTING_SECONDS = 3600.0
from runlore.producer import log_metadata, step_context
with step_context("train"):
    for number in range(2000):
        log_metadata({"n": number}, "model:churn")
"""
"""It hangs if it waits for the server at its end, and, long enough to tell, if it does so in every call."""


def test_a_step_without_a_server_waits_for_nothing_and_its_events_arrive_later(
    server: EmbeddedServer, settings: Settings
) -> None:
    make_stream(settings)
    server.close()
    assert "wait in" in run_python(STEP).stderr
    server.start()
    assert drain(settings, 90).unsent == 0
    assert logged(settings) == list(range(2000))
