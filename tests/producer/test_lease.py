"""An outbox's file that its process has taken for itself while events stream."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from runlore.producer.outboxes.lease import STREAMING_ROWS, Lease

from runlore.producer import outbox_status
from runlore.producer.outboxes.outbox import Outbox, Row
from runlore.producer.sending.message import batch_headers, commands, row_headers
from runlore.schemas.codec import encode_event
from runlore.schemas.events import SCHEMA_VERSION, Actor, Event, NoteAdded
from runlore.schemas.references import EntityRef
from runlore.store.folder import DataDir


@pytest.fixture
def outbox(tmp_path: Path) -> Outbox:
    return Outbox.create(DataDir(tmp_path).outboxes, "producer-1")


def add(outbox: Outbox, seq: int) -> None:
    with outbox.lock:
        outbox.insert(seq, "runlore.x", b"payload")


def count(path: Path, timeout: float = 0.0) -> int:
    connection = sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=timeout)
    try:
        return int(connection.execute("SELECT count(*) FROM outbox").fetchone()[0])
    finally:
        connection.close()


def test_a_taken_file_is_read_by_its_process_only_until_it_is_shared(outbox: Outbox) -> None:
    add(outbox, 1)
    assert outbox.take()
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        count(outbox.path)
    add(outbox, 2)
    assert [row.seq for row in outbox.read(0)] == [1, 2]
    outbox.share()
    assert count(outbox.path) == 2
    add(outbox, 3)
    assert count(outbox.path) == 3
    outbox.close()


def test_who_has_the_file_open_is_never_waited_for_and_keeps_nobody_out(
    outbox: Outbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("runlore.producer.outboxes.outbox_file.BUSY_SECONDS", 3600)  # whoever waited would hang
    add(outbox, 1)
    reader = sqlite3.connect(f"{outbox.path.as_uri()}?mode=ro", uri=True, isolation_level=None)
    assert reader.execute("SELECT count(*) FROM outbox").fetchone() == (1,)
    assert not outbox.take()
    add(outbox, 2)
    assert count(outbox.path) == 2
    assert reader.execute("SELECT count(*) FROM outbox").fetchone() == (2,)
    reader.close()
    assert outbox.take()
    add(outbox, 3)
    outbox.share()
    assert count(outbox.path) == 3
    outbox.close()


def test_status_sees_the_outbox_of_a_process_that_streams_without_a_pause(outbox: Outbox, tmp_path: Path) -> None:
    stop, taken = threading.Event(), threading.Event()

    async def stream() -> None:
        lease = Lease(outbox)
        seq = 0
        while not stop.is_set():
            lease.begin(STREAMING_ROWS)
            taken.set()
            for _ in range(100):
                seq += 1
                add(outbox, seq)
            await asyncio.sleep(0)
        lease.end()

    thread = threading.Thread(target=lambda: asyncio.run(stream()))
    thread.start()
    try:
        assert taken.wait(90)
        for _ in range(3):
            (status,) = outbox_status(DataDir(tmp_path))  # raises when it is kept out for too long
            assert status.alive
            assert status.waiting
    finally:
        stop.set()
        thread.join()
    outbox.close()


KILLED = """
import os, signal, sys
from pathlib import Path
from runlore.producer.outboxes.outbox import Outbox
outbox = Outbox.create(Path(sys.argv[1]), "producer-1")
assert outbox.take()
for seq in range(1, 501):
    outbox.insert(seq, "runlore.x", b"payload")
outbox.remove(100)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_a_process_killed_while_it_had_the_file_to_itself_loses_nothing(tmp_path: Path) -> None:
    folder = DataDir(tmp_path).outboxes
    ended = subprocess.run([sys.executable, "-c", KILLED, str(folder)], check=False)
    assert ended.returncode == -signal.SIGKILL
    assert [status.waiting for status in outbox_status(DataDir(tmp_path))] == [400]
    adopted = Outbox.adopt(folder / "producer-1.db")
    assert adopted is not None
    assert [row.seq for row in adopted.read(0)] == list(range(101, 501))
    adopted.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_fork_while_the_file_is_taken_leaves_it_to_the_parent(outbox: Outbox) -> None:
    add(outbox, 1)
    assert outbox.take()
    child = os.fork()
    if child == 0:
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        count(outbox.path)
    add(outbox, 2)
    outbox.share()
    assert count(outbox.path) == 2
    outbox.close()


@pytest.mark.parametrize("micros", [0, 7, 120_000])
def test_messages_built_together_have_the_headers_of_one_sent_alone(micros: int) -> None:
    event = Event(
        id="0192-é",
        schema=SCHEMA_VERSION,
        project="my project",
        occurred_at=dt.datetime(2026, 1, 2, 3, 4, 5, micros, dt.UTC),
        actor=Actor("u", "h", 1, "l"),
        producer_id="p",
        producer_seq=1,
        fact=NoteAdded((EntityRef("model", "m"),), "text"),
    )
    row = Row(1, "runlore.p.model.m", encode_event(event))
    line, _, rest = commands([row], "batch", 41).partition(b"\r\n")
    _, subject, header_size, size = line.decode().split(" ")
    block, payload = rest[: int(header_size)], rest[int(header_size) : int(size)]
    assert subject == row.subject
    assert payload == row.payload
    assert rest[int(size) :] == b"\r\n"
    first, *lines = block.decode().removesuffix("\r\n\r\n").split("\r\n")
    assert first == "NATS/1.0"
    headers = dict(text.split(": ", 1) for text in lines)
    assert headers == row_headers(row) | batch_headers("batch", 41, last=False)
