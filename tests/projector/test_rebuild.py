"""Rebuilding a view: readers notice nothing, a kill harms nothing, and what differed is named."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from nats_tools import until

import runlore.producer as producer
from runlore.cli.stack import EmbeddedStack
from runlore.projector import rebuild_view
from runlore.projector.archiving.archive import Archive
from runlore.projector.views.digest import view_digest
from runlore.projector.views.generations import rebuild_lock, remove_old_views
from runlore.projector.views.rebuild import BATCH
from runlore.query import Client
from runlore.schemas import FolderBusyError
from runlore.store.folder import DataDir
from runlore.store.log_rows import Received
from runlore.store.sqlite import sqlite
from tests.events import EPOCH, LogBuilder
from tests.query.views import fold_live


def archived(data: DataDir, log: LogBuilder) -> None:
    """What a builder made, as log.db."""
    archive = Archive.open(data.log, EPOCH)
    archive.append([Received(*row[:4], b"", row[4]) for row in log.rows])
    archive.close()


def some_events(count: int = 300) -> LogBuilder:
    log = LogBuilder()
    for number in range(count):
        log.log(f"model:m{number % 7}@1", {"n": number, "g": {"x": number / 3, "text": f"word{number}"}})
    return log


@pytest.fixture
def folder(data: DataDir) -> DataDir:
    """A log and a view that folds all of it."""
    log = some_events()
    archived(data, log)
    fold_live(data, log)
    return data


@contextlib.contextmanager
def reading(data: DataDir) -> Iterator[None]:
    """Meanwhile a reader reads in a loop; afterwards it must have seen neither an error nor a step back."""
    stopping, wrong, reads = threading.Event(), list[str](), 0

    def read() -> None:
        nonlocal reads
        seen = 0
        with Client(data.root) as client:
            while not stopping.is_set() and not wrong:
                try:
                    position = client.position
                    assert client.get("model:m1@1").metadata
                except Exception as error:  # any error of a reader is what this test looks for
                    wrong.append(repr(error))
                else:
                    wrong.extend([f"from {seen} back to {position}"] if position < seen else [])
                    seen, reads = position, reads + 1

    reader = threading.Thread(target=read)
    reader.start()
    try:
        yield
    finally:
        stopping.set()
        reader.join()
    assert wrong == []
    assert reads > 0


@contextlib.contextmanager
def logging() -> Iterator[None]:
    """Meanwhile this process logs on, a thousand events a second at most."""
    stopping = threading.Event()

    def log() -> None:
        number = 0
        while not stopping.wait(0.001):
            number += 1
            producer.log_metadata({"n": number, "g": {"x": number}}, "model:m1@1")

    writer = threading.Thread(target=log)
    writer.start()
    try:
        yield
    finally:
        stopping.set()
        writer.join()


def runlore(data: DataDir, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "runlore.cli", *arguments, "--data-dir", str(data.root)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_rebuilt_view_is_equal_and_the_old_file_removed(folder: DataDir) -> None:
    old, before = folder.current_view(), view_digest(folder.current_view())
    made = rebuild_view(folder)
    assert made.differing == ()
    assert folder.current_view() == made.path != old
    assert view_digest(made.path) == before
    assert remove_old_views(folder) == [old]
    assert not list(folder.projection.glob(f"{old.name}*"))


def test_a_changed_value_in_the_view_is_named_and_healed(folder: DataDir) -> None:
    with sqlite.connect(folder.current_view()) as connection:
        connection.execute("UPDATE history SET value = value + 1 WHERE position = 5 AND type = 'int'")
    made = rebuild_view(folder)
    assert made.differing == ("history",)
    assert rebuild_view(folder).differing == ()


def test_a_lagging_view_is_compared_at_its_position_and_then_caught_up(data: DataDir) -> None:
    log = some_events(100)
    fold_live(data, log)
    for number in range(200):
        log.log("model:m1@1", {"later": number})
    archived(data, log)
    made = rebuild_view(data)
    assert (made.differing, made.position) == ((), 300)


def test_the_full_text_index_of_a_rebuilt_view_is_complete(folder: DataDir) -> None:
    path = rebuild_view(folder).path
    with sqlite.connect(path) as connection:
        found = connection.execute("SELECT text FROM search WHERE search MATCH 'word299'").fetchall()
        (position,) = connection.execute("SELECT position FROM search_state").fetchone()
    assert (found, position) == ([("word299",)], 300)


_HOLD = """
import sys
from runlore.query import Client
client = Client(sys.argv[1])
print(client.position, flush=True)
sys.stdin.readline()
print(client.get("model:m1@1").metadata["n"], flush=True)
"""


def test_an_old_generation_stays_as_long_as_a_reader_has_it(folder: DataDir) -> None:
    # A process of its own, as readers are.
    old = folder.current_view()
    reader = subprocess.Popen(
        [sys.executable, "-c", _HOLD, str(old)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert reader.stdin
    assert reader.stdout
    assert reader.stdout.readline() == "300\n"
    rebuild_view(folder)
    assert remove_old_views(folder) == []
    assert reader.communicate("\n", timeout=90)[0].strip().isdecimal()
    assert remove_old_views(folder) == [old]


def test_one_rebuild_at_a_time(folder: DataDir) -> None:
    with rebuild_lock(folder), pytest.raises(FolderBusyError, match="a rebuild"):
        rebuild_view(folder)


def test_a_rebuild_is_not_refused_because_old_views_are_just_being_removed(folder: DataDir) -> None:
    removal = rebuild_lock(folder)
    removal.acquire()
    threading.Timer(0.1, removal.release).start()
    assert rebuild_view(folder).differing == ()


@pytest.mark.slow
def test_readers_go_on_through_rebuilds_beside_a_running_projector(stack: EmbeddedStack, data: DataDir) -> None:
    receipt = producer.log_metadata({"n": 0}, "model:m1@1")
    with Client(data.root) as client:
        client.wait_for(receipt, timeout=90)
    with reading(data), logging():
        for _ in range(2):
            process = runlore(data, "rebuild")
            out, err = process.communicate(timeout=90)
            assert process.returncode == 0, err
            assert "is live, up to event" in out
            assert "the old view was the same" in err
    receipt = producer.log_metadata({"last": True}, "model:m1@1")
    with Client(data.root) as client:
        client.wait_for(receipt, timeout=90)
    until(lambda: remove_old_views(data) or len(list(data.projection.glob("view-*.db"))) == 1)


def _log_of(data: DataDir, events: int) -> None:
    log = some_events(events)
    archived(data, log)
    fold_live(data, log)


@pytest.mark.slow
def test_a_killed_rebuild_leaves_the_live_view_as_it_is(data: DataDir) -> None:
    _log_of(data, 2 * BATCH)
    live, before = data.current_view(), view_digest(data.current_view())
    for _ in range(3):
        process = runlore(data, "rebuild")
        until(lambda process=process: len(list(data.projection.glob("view-*.db"))) > 1 or process.poll() is not None)
        time.sleep(random.random() * 0.3)
        process.kill()
        process.communicate()
        if data.current_view() != live:
            live = data.current_view()  # it was done before it could be killed
        assert view_digest(live) == before
    rebuild_view(data)
    assert view_digest(data.current_view()) == before
    remove_old_views(data)
    assert [path.name for path in data.projection.glob("view-*.db")] == [data.current_view().name]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_readers_go_on_through_fifty_rebuilds_and_kills(data: DataDir) -> None:
    _log_of(data, 2 * BATCH)
    with reading(data):
        for number in range(50):
            process = runlore(data, "rebuild")
            if number % 2:
                time.sleep(random.random() * 2)
                process.kill()
            process.communicate(timeout=90)
            remove_old_views(data)


def test_the_rebuild_command_says_what_it_did_as_json(folder: DataDir) -> None:
    process = runlore(folder, "rebuild", "--json")
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    report: dict[str, Any] = json.loads(out)
    assert report["view"] == folder.current_view().name
    assert report["position"] == 300
    assert report["differing"] == []
    assert len(report["removed"]) == 1


def test_without_a_log_the_rebuild_says_so(tmp_path: Path) -> None:
    process = runlore(DataDir(tmp_path / "empty"), "rebuild")
    _, err = process.communicate(timeout=90)
    assert process.returncode == 3
    assert "no log at" in err
