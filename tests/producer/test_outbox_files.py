"""The files of an outbox: what was inserted is read back, whatever happens to the process or the disk."""

from __future__ import annotations

import contextlib
import mmap
import os
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from interrupting import Interrupt, Interrupts, every_moment
from msgspec.structs import astuple
from outbox_tools import UNIT, add, row

from runlore.producer.outboxes import segment
from runlore.producer.outboxes.look import look_at, rows_of
from runlore.producer.outboxes.outbox import Outbox, outbox_paths
from runlore.producer.outboxes.rows import Row
from runlore.producer.outboxes.segments import segment_paths
from runlore.schemas import OutboxError


@given(st.lists(st.tuples(st.text(max_size=30), st.binary(max_size=40_000)), max_size=12), st.integers(0, 12))
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_what_is_inserted_is_read_back_from_any_number_on(
    tmp_path: Path, small_segments: None, events: list[tuple[str, bytes]], after: int
) -> None:
    outbox = Outbox.create(tmp_path / "outbox", "producer-1")
    rows = [Row(seq, subject, payload) for seq, (subject, payload) in enumerate(events, 1)]
    add(outbox, *rows)
    assert outbox.read(after) == rows[after:]
    assert rows_of(outbox.path) == rows
    assert outbox.waiting() == len(rows)
    outbox.remove(after)
    assert outbox.read(0) == rows[after:]
    outbox.remove(len(rows))
    outbox.close()
    assert list((tmp_path / "outbox").iterdir()) == []


def test_a_killed_process_loses_nothing_that_was_inserted(tmp_path: Path, small_segments: None) -> None:
    random.seed(1)
    for number in range(12):
        told, tell = os.pipe()
        child = os.fork()
        if child == 0:
            outbox = Outbox.create(tmp_path / "outbox", f"producer-{number}")
            for seq in range(1, 10**9):
                outbox.insert(*astuple(row(seq, 900)))
                os.write(tell, b".")
            os._exit(0)
        os.close(tell)
        time.sleep(random.random() / 25)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        returned = 0
        while data := os.read(told, UNIT):
            returned += len(data)
        os.close(told)
        path = tmp_path / "outbox" / f"producer-{number}.outbox"
        found = rows_of(path) if path.exists() else []
        assert found == [row(seq, 900) for seq in range(1, len(found) + 1)]
        assert len(found) in (returned, returned + 1)


def test_a_disk_that_is_full_at_the_next_segment_refuses_the_call_and_keeps_the_rest(
    outbox: Outbox, small_segments: None
) -> None:
    size = segment.FIRST_BYTES // 4
    add(outbox, row(1, size))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OutboxError, match="was not stored"):
            add(outbox, *[row(seq, size) for seq in range(2, 100)])
        stored = len(rows_of(outbox.path))
        assert not outbox.has(stored + 1)
        assert len(segment_paths(outbox.path)) == 1
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    add(outbox, row(stored + 1, size), row(stored + 2, 3))
    assert [one.seq for one in outbox.read(0)] == list(range(1, stored + 3))


def test_an_event_larger_than_a_segment_gets_one_of_its_size(outbox: Outbox) -> None:
    rows = [row(1), row(2, 5_000_000), row(3), row(4, 9_000_000), row(5)]
    add(outbox, *rows)
    assert [one.seq for one in outbox.read(0)] == [1, 2, 3, 4]  # about 8 MiB at once
    assert rows_of(outbox.path) == rows


def test_segments_are_removed_when_all_of_them_is_gone(outbox: Outbox, small_segments: None) -> None:
    add(outbox, *[row(seq, 30_000) for seq in range(1, 30)])
    before = segment_paths(outbox.path)
    outbox.remove(20)
    assert len(outbox.read(0)) == 9
    left = segment_paths(outbox.path)
    assert len(left) < len(before) / 2
    outbox.remove(29)
    assert len(segment_paths(outbox.path)) == 1
    add(outbox, row(30))
    assert outbox.read(29) == [row(30)]


@pytest.mark.usefixtures("small_segments")
def test_an_exception_at_any_instruction_leaves_an_event_stored_or_not(tmp_path: Path) -> None:
    outbox = Outbox.create(tmp_path / "outbox", "producer-1")
    seq = 1
    for at in every_moment("opcode", 3):
        one = row(seq, 25_000)
        with Interrupts("opcode", at) as interrupts, contextlib.suppress(Interrupt):
            outbox.insert(*astuple(one))
        seq += outbox.has(seq)
        if not interrupts.hit:
            if seq % 2:
                break
            continue
        if not outbox.has(one.seq):
            outbox.insert(one.seq, one.subject, one.payload[:9])
            seq += 1
    found = rows_of(outbox.path)
    assert [one.seq for one in found] == list(range(1, seq))
    assert {len(one.payload) for one in found} <= {9, 25_000}
    outbox.close()


@pytest.mark.parametrize("stride", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_a_call_interrupted_by_a_fork_writes_into_the_parents_segment_in_the_parent_only(
    outbox: Outbox, stride: int
) -> None:
    seq = 0
    for at in every_moment("opcode", stride):
        seq += 1
        go, say = os.pipe()
        children: list[int] = []

        def fork(go: int = go, children: list[int] = children) -> None:
            child = os.fork()
            if child == 0:
                os.read(go, 1)  # the parent is ahead
            children.append(child)

        with Interrupts("opcode", at, act=fork) as interrupts:
            try:
                outbox.insert(*astuple(row(seq)))
            except OutboxError:
                assert children == [0], "only the child is refused"
        if children == [0]:
            os._exit(0)
        seq += 1
        add(outbox, row(seq))
        os.write(say, b"!")
        os.close(say)
        os.close(go)
        for child in children:
            assert os.waitpid(child, 0)[1] == 0
        assert rows_of(outbox.path) == [row(number) for number in range(1, seq + 1)]
        if not interrupts.hit:
            break


def test_threads_take_turns_and_a_reader_beside_them_sees_whole_events_in_order(
    outbox: Outbox, small_segments: None
) -> None:
    last, failed = [0], list[BaseException]()

    def work() -> None:
        try:
            for _ in range(300):
                with outbox.lock:
                    outbox.insert(*astuple(row(last[0] + 1, 700)))
                    last[0] += 1
        except BaseException as error:
            failed.append(error)
            raise

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    seen = 0
    while seen < 1200 and not failed:
        for one in outbox.read(seen):
            assert one == row(seen + 1, 700)
            seen += 1
        look_at(outbox.path)
    for thread in threads:
        thread.join()
    assert not failed


def test_with_sync_every_event_is_on_the_disk_when_the_call_returns(tmp_path: Path) -> None:
    outbox = Outbox.create(tmp_path / "outbox", "producer-1", sync=True)
    add(outbox, row(1), row(2))
    assert rows_of(outbox.path) == [row(1), row(2)]
    outbox.close()


def test_without_posix_fallocate_space_is_allocated_by_writing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(os, "posix_fallocate")
    outbox = Outbox.create(tmp_path / "outbox", "producer-1")
    add(outbox, row(1))
    (path,) = segment_paths(outbox.path)
    assert path.stat().st_blocks * 512 >= path.stat().st_size == segment.FIRST_BYTES
    outbox.close()
    assert outbox_paths(tmp_path / "outbox") == [outbox.path]


def test_a_look_from_outside_finds_the_first_event_that_waits(outbox: Outbox) -> None:
    assert look_at(outbox.path).first is None
    add(outbox, row(1), row(2), row(3))
    outbox.remove(1)
    assert look_at(outbox.path).first == row(2).payload


def test_what_is_closed_with_events_in_it_takes_only_their_space(tmp_path: Path) -> None:
    outbox = Outbox.create(tmp_path / "outbox", "producer-1")
    add(outbox, row(1))
    outbox.close()
    (path,) = segment_paths(outbox.path)
    assert path.stat().st_blocks * 512 <= 2 * mmap.PAGESIZE
    assert rows_of(outbox.path) == [row(1)]


STRICT = """
import ctypes, os, sys, tempfile
from pathlib import Path
from runlore.producer.outboxes.outbox import Outbox
outbox = Outbox.create(Path(sys.argv[1]), "producer-1")
rows = [(seq, "runlore.default.model.m", b"x" * 400) for seq in range(1, 401)]
for one in rows[:200]:
    outbox.insert(*one)
call = ctypes.CDLL(None).prctl
call(22, 1, 0, 0, 0)  # from here on the kernel kills this thread for any system call but read, write and exit
for one in rows[200:]:
    outbox.insert(*one)
os.write(1, b"none")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="needs seccomp")
def test_a_usual_call_makes_no_system_call(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", STRICT, str(tmp_path)], capture_output=True, check=False)
    assert done.stdout == b"none", done.stderr
    assert done.returncode < 0, "ending a process takes a system call: the kernel was strict"
    assert look_at(tmp_path / "producer-1.outbox").waiting == 400
