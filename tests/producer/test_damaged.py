"""A damaged outbox keeps no other back; it is kept as it was, and what can be read of it is sent."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from log_tools import logged, make_stream, old_outbox, outbox_files, run_python

from runlore.cli.server import EmbeddedServer
from runlore.producer import Producer, configure, drain, log_metadata, outbox_status
from runlore.producer.outboxes.look import rows_of
from runlore.producer.outboxes.segment_format import MAGIC
from runlore.producer.outboxes.segments import segment_paths
from runlore.schemas import EntityRef, MetadataLogged, Settings
from runlore.store.folder import DataDir
from runlore.store.lock import FolderLock

PAGE_BYTES = 2048


@pytest.fixture(autouse=True)
def acknowledged_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """No projector runs here: what is acknowledged would stay in the outbox until it is archived."""
    monkeypatch.setenv("RUNLORE_CONFIRM", "never")


def fact(**metadata: object) -> MetadataLogged:
    return MetadataLogged((EntityRef("model", "churn"),), metadata)


def make_orphan(count: int, start: int = 0) -> None:
    with Producer(mode="offline") as producer:
        for number in range(start, start + count):
            producer.emit_nowait(fact(n=number, pad="x" * 300))


def flip(path: Path, page: int) -> None:
    """Overwrite one page of the file with nonsense."""
    with path.open("r+b") as file:
        file.seek(page * PAGE_BYTES)
        file.write(os.urandom(PAGE_BYTES))


def pages(path: Path) -> int:
    return path.stat().st_size // PAGE_BYTES


def old_one(path: Path) -> Path:
    """The same rows in a file of an older version, in place of the outbox."""
    old = path.parent / "0.db"
    old_outbox(old, rows_of(path))
    shutil.rmtree(path)
    return old


@pytest.mark.parametrize("old", [False, True])
def test_one_damaged_page_costs_its_own_events_only(
    server: EmbeddedServer, settings: Settings, data: DataDir, old: bool
) -> None:
    make_stream(settings)
    make_orphan(400)
    (path,) = outbox_files(settings)
    damaged = old_one(path) if old else segment_paths(path)[0]
    flip(damaged, pages(damaged) // 2)
    before = damaged.read_bytes()
    make_orphan(5, start=1000)
    assert drain(settings, 90).unsent == 0
    found = logged(settings)
    assert set(range(1000, 1005)) <= set(found)
    assert len(found) == len(set(found)) > 390
    assert outbox_files(settings) == []
    (kept,) = [one for one in outbox_status(data) if one.damaged]
    assert (kept.path if old else kept.path / damaged.name).read_bytes() == before
    assert kept.path.parent.name == "damaged"
    assert kept.damaged
    assert f"{len(found) - 5} events rescued" in kept.damaged


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("0.db", b"not a database" * 100),
        ("0.db", b"SQLite format 3\0" + b"\xff" * 5000),
        (f"0.outbox/{1:020d}.segment", b"nothing of ours" * 100),
        (f"0.outbox/{1:020d}.segment", MAGIC + b"\xff" * 5000),
        (f"0.outbox/{1:020d}.segment", bytes(4096) + b"\xff" * 5000),
    ],
)
def test_a_file_of_which_nothing_can_be_read_is_set_aside(
    server: EmbeddedServer, settings: Settings, data: DataDir, name: str, content: bytes
) -> None:
    make_stream(settings)
    make_orphan(3)
    path = data.outboxes / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(content)
    assert drain(settings, 90).unsent == 0
    assert sorted(logged(settings)) == [0, 1, 2]
    (kept,) = [one for one in outbox_status(data) if one.damaged]
    assert (data.outboxes / "damaged" / name).read_bytes() == content
    assert kept.damaged
    assert "0 events rescued" in kept.damaged
    make_orphan(1, start=3)
    assert drain(settings, 90, take_over=True) == (1, 0, 0)
    assert (data.outboxes / "damaged" / name).read_bytes() == content


def test_tables_of_another_shape_are_set_aside(server: EmbeddedServer, settings: Settings, data: DataDir) -> None:
    make_stream(settings)
    make_orphan(3)
    with sqlite3.connect(data.outboxes / "0.db") as connection:
        connection.execute("CREATE TABLE outbox (something TEXT)")
        connection.execute("INSERT INTO outbox VALUES ('else')")
    connection.close()
    assert drain(settings, 90).unsent == 0
    assert sorted(logged(settings)) == [0, 1, 2]
    assert [one.path.name for one in outbox_status(data) if one.damaged] == ["0.db"]


def test_status_and_doctor_name_a_damaged_outbox(server: EmbeddedServer, settings: Settings, data: DataDir) -> None:
    data.outboxes.mkdir(parents=True)
    path = data.outboxes / "0.db"
    path.write_bytes(b"not a database" * 100)
    make_stream(settings)
    for command in ("outbox status", "doctor"):
        (one,) = outbox_status(data)
        printed = subprocess.run(
            [sys.executable, "-m", "runlore.cli", *command.split()], capture_output=True, text=True
        )
        assert str(one.path) in printed.stdout
        assert "not a database" in printed.stdout
        drain(settings, 90)  # from here on it is kept elsewhere


def test_a_process_whose_own_outbox_is_damaged_goes_on_in_another_one(
    server: EmbeddedServer, settings: Settings, data: DataDir
) -> None:
    make_stream(settings)
    with Producer(mode="offline") as producer:
        for number in range(300):
            producer.emit_nowait(fact(n=number, pad="x" * 300))
        assert producer.session
        (path,) = segment_paths(producer.session.outbox.path)
        for page in range(pages(path)):
            flip(path, page)
        for number in range(300, 310):
            producer.emit_nowait(fact(n=number))
    assert drain(settings, 90).unsent == 0
    found = logged(settings)
    assert set(range(300, 310)) <= set(found)
    assert len(found) == len(set(found))


@pytest.mark.slow
def test_200_orphans_with_a_damaged_one_among_them_are_drained_in_one_go(
    server: EmbeddedServer, settings: Settings, data: DataDir
) -> None:
    make_stream(settings)
    for number in range(200):
        make_orphan(3, start=3 * number)
    files = outbox_files(settings)
    for broken in (0, 70, 150):
        segment_paths(files[broken])[0].write_bytes(b"nothing of ours" * 100)
    report = drain(settings, 100)
    assert report.unsent == 0
    assert sorted(logged(settings)) == [n for n in range(600) if n // 3 not in (0, 70, 150)]
    assert len([one for one in outbox_status(data) if one.damaged]) == 3
    assert outbox_files(settings) == []


def test_more_orphans_than_are_opened_at_once_are_drained_in_one_go(
    server: EmbeddedServer, settings: Settings, data: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("outboxes.orphans", "sending.adopted"):
        monkeypatch.setattr(f"runlore.producer.{module}.MAX_ADOPTED", 3)
    make_stream(settings)
    for number in range(10):
        make_orphan(1, start=number)
    assert drain(settings, 90) == (10, 0, 0)


def test_a_short_process_sends_its_own_and_leaves_what_others_left(
    server: EmbeddedServer, settings: Settings, data: DataDir
) -> None:
    make_stream(settings)
    for number in range(3):
        make_orphan(1, start=number)
    printed = subprocess.run(
        [sys.executable, "-m", "runlore.cli", "log", "model:churn", "n=10"], capture_output=True, text=True, check=True
    )
    assert printed.stderr == ""
    assert logged(settings) == [10]
    assert [one.waiting for one in outbox_status(data) if one.waiting] == [1, 1, 1]  # its own is kept: no projector
    configure()
    log_metadata({"n": 11}, "model:churn")
    configure(mode="disabled")  # this process made them: it sends them before it ends
    assert sorted(logged(settings)) == [0, 1, 2, 10, 11]


def test_an_orphan_that_cannot_be_opened_now_keeps_no_other_back(
    server: EmbeddedServer, settings: Settings, data: DataDir
) -> None:
    make_stream(settings)
    make_orphan(3)
    make_orphan(2, start=3)
    busy = outbox_files(settings)[0]
    with FolderLock(busy.with_suffix(".lock"), "the test"):
        assert drain(settings, 90).sent == 2
    assert drain(settings, 90).sent == 3
    assert sorted(logged(settings)) == [0, 1, 2, 3, 4]


def test_a_run_that_python_ends_leaves_nothing_locked(server: EmbeddedServer, settings: Settings) -> None:
    make_stream(settings)
    run_python("from runlore.producer import log_metadata; log_metadata({'n': 1}, 'model:churn')")
    assert logged(settings) == [1]
    assert outbox_files(settings) == []
