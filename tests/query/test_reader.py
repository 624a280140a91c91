from __future__ import annotations

import contextlib
import json
import multiprocessing
import os
import threading
import time
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from runlore.projector.database import open_writer
from runlore.query import Client, history, series
from runlore.query.view import events, leaves
from runlore.query.view.connection import ViewReader
from runlore.schemas.errors import CorruptLogError, NotFoundError, NotSentError, ReceiptTimeoutError
from runlore.schemas.ids import new_id
from runlore.store.folder import DataDir
from runlore.store.private_files import write_struct
from runlore.store.records import ProjectorStatus
from runlore.store.sqlite import sqlite
from tests.events import LogBuilder
from tests.patience import until
from tests.query.views import client_of, fold_live


def counted(log: LogBuilder, events: int) -> LogBuilder:
    """In every event both keys hold the same number, so a torn read shows."""
    for number in range(len(log.rows) + 1, len(log.rows) + events + 1):
        log.log("artifact:a@1", {"one": number, "two": {"same": number}})
    return log


def read_untorn(folder: str, end: int, name: str) -> int:
    """Read until the number `end` is there; how many reads. Fails on a torn or backward read."""
    reads, last = 0, 0
    with Client(folder) as client:
        while last < end:
            metadata = client.get("artifact:a@1").metadata
            assert metadata["one"] == metadata["two"]["same"] >= last
            last, reads = metadata["one"], reads + 1
            time.sleep(0.001)  # leaves the writer its share
            if reads == 1:
                (Path(folder) / f"reading-{name}").touch()
    return reads


def test_readers_in_threads_and_processes_follow_generations_without_a_torn_read(tmp_path: Path) -> None:
    data, log = DataDir(tmp_path), counted(LogBuilder(), 50)
    fold_live(data, log)
    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(2) as processes, ThreadPoolExecutor(2) as threads:
        waiting: list[Any] = [processes.apply_async(read_untorn, (str(tmp_path), 170, f"p{n}")) for n in range(2)]
        running = [threads.submit(read_untorn, str(tmp_path), 170, f"t{n}") for n in range(2)]
        until(lambda: len(list(tmp_path.glob("reading-*"))) == 4)
        for generation in range(2, 8):
            counted(log, 20)
            fold_live(data, log, generation)
            for old in tmp_path.glob(f"projection/view-{generation - 1:06}.db*"):
                old.unlink()
        counts = [job.get(90) for job in waiting] + [job.result(90) for job in running]
    assert len(log.rows) == 170
    assert all(count > 1 for count in counts)


def test_one_client_follows_a_switch_and_sees_what_is_folded_on(tmp_path: Path) -> None:
    data, log = DataDir(tmp_path), counted(LogBuilder(), 3)
    fold_live(data, log)
    with Client(tmp_path) as client:
        assert client.position == 3
        counted(log, 2)
        fold_live(data, log, after=3)
        assert client.get("artifact:a@1").metadata["one"] == 5
        fold_live(data, counted(log, 1), generation=2)
        data.view(1).unlink()
        assert client.get("artifact:a@1").metadata["one"] == 6


def test_one_transaction_sees_one_state_while_the_view_moves_on(tmp_path: Path) -> None:
    log = counted(LogBuilder(), 3)
    fold_live(DataDir(tmp_path), log)
    with Client(tmp_path) as client:
        with client.scope.reader.read():
            assert client.position == 3
            counted(log, 4)
            fold_live(DataDir(tmp_path), log, after=3)
            assert client.position == 3
        assert client.position == 7


def test_a_forked_child_reads_with_a_connection_of_its_own(tmp_path: Path) -> None:
    client = client_of(tmp_path, lambda log: counted(log, 5))
    entity = client.get("artifact:a@1")
    before = client.scope.reader.one("SELECT 1")
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            held = client.scope.reader._local.held
            fine = entity.metadata["one"] == 5 and client.scope.reader._local.held is not held
            client.close()
            code = 0 if fine else 2
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert (before, entity.metadata["one"]) == ((1,), 5)


def fold_one_more(view: str, rows: list[Any]) -> None:
    log = LogBuilder()
    log.rows = rows[:-1]
    known, log.rows = len(log.rows), rows
    log.fold_into(Path(view), after=known).close()


@pytest.mark.parametrize("parent", ["has not read", "has read", "has read and closes"])
def test_a_forked_child_follows_the_view_whatever_the_parent_does(tmp_path: Path, parent: str) -> None:
    log = counted(LogBuilder(), 1)
    fold_live(DataDir(tmp_path), log)
    spawn, view = multiprocessing.get_context("spawn"), str(DataDir(tmp_path).view(1))
    with Client(tmp_path) as client:
        forked.append(client)
        if parent != "has not read":
            assert client.position == 1
        with multiprocessing.get_context("fork").Pool(1) as child, spawn.Pool(1) as projector:
            assert child.apply(position_in_child) == 1
            if parent == "has read and closes":
                client.close()
            for position in (2, 3, 4):
                counted(log, 1)
                projector.apply(fold_one_more, (view, log.rows))
                assert child.apply(position_in_child) == position


forked: list[Client] = []
"""What a forked child finds as its parent left it."""


def position_in_child() -> int:
    return forked[-1].position


def test_a_thread_that_ends_leaves_no_connection(tmp_path: Path) -> None:
    client = client_of(tmp_path, lambda log: counted(log, 1))
    for _ in range(30):
        thread = threading.Thread(target=lambda: client.position)
        thread.start()
        thread.join()
    assert len(client.scope.reader._connections) <= 2


def close_while_threads_read(folder: str, times: int) -> int:
    """Close a client again and again while other threads read with it, and some end; how often."""
    client, closed = Client(folder), 0

    def read() -> None:
        for _ in range(10):
            metadata = client.get("artifact:a@1").metadata
            assert metadata["one"] == metadata["two"]["same"] == len(client.get("artifact:a@1").history("one"))

    with ThreadPoolExecutor(4) as threads:
        while closed < times:
            reads = [threads.submit(read) for _ in range(4)]
            ending = threading.Thread(target=client.get, args=("artifact:a@1",))
            ending.start()
            while not all(job.done() for job in reads):
                client.close()
                closed += 1
                time.sleep(0.001)
            for job in reads:
                job.result()
            ending.join()
    return closed


def test_a_client_may_be_closed_while_other_threads_read(tmp_path: Path) -> None:
    client_of(tmp_path, lambda log: counted(log, 100)).close()
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as other:  # which notices a crash
        assert other.submit(close_while_threads_read, str(tmp_path), 100).result(90) >= 100


def lock_for_writing(view: str) -> str:
    """What SQLite says to another process that wants to write."""
    with contextlib.closing(sqlite.connect(view, isolation_level=None, timeout=0)) as connection:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite.OperationalError as error:
            return str(error)
        return "taken"


def test_a_client_takes_no_lock_from_a_projection_in_its_process(tmp_path: Path) -> None:
    client = client_of(tmp_path, lambda log: counted(log, 1))
    view = DataDir(tmp_path).view(1)
    with contextlib.closing(open_writer(view)) as writer, multiprocessing.get_context("spawn").Pool(1) as other:
        writer.conn.execute("BEGIN IMMEDIATE")
        assert client.position == 1
        client.close()
        assert other.apply(lock_for_writing, (str(view),)) == "database is locked"
        writer.conn.execute("ROLLBACK")
        assert other.apply(lock_for_writing, (str(view),)) == "taken"


def test_nothing_can_be_written_through_a_client(tmp_path: Path) -> None:
    client = client_of(tmp_path, lambda log: counted(log, 1))
    with pytest.raises(sqlite.OperationalError, match="readonly"), client.scope.reader.read() as connection:
        connection.execute("DELETE FROM heads")


def test_a_damaged_view_is_said_to_be_damaged(tmp_path: Path) -> None:
    client_of(tmp_path, lambda log: counted(log, 2000)).close()
    view = DataDir(tmp_path).view(1)
    content = bytearray(view.read_bytes())
    content[8192:] = b"\xff" * (len(content) - 8192)
    view.write_bytes(content)
    with pytest.raises(CorruptLogError), Client(tmp_path) as client:
        _ = client.get("artifact:a@1").metadata


def test_another_schema_or_another_database_is_refused(tmp_path: Path) -> None:
    client_of(tmp_path, lambda log: counted(log, 1)).close()
    with sqlite.connect(DataDir(tmp_path).view(1)) as database:
        database.execute("UPDATE view_state SET schema_version = 99")
    database.close()
    with pytest.raises(CorruptLogError, match="99"):
        _ = Client(tmp_path).position
    other = sqlite.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE t (x)")
    other.close()
    with pytest.raises(CorruptLogError, match="no view"):
        _ = Client(tmp_path / "other.db").position


# -- waiting -----------------------------------------------------------------------------------------


def test_waiting_ends_when_the_event_is_folded_also_where_there_was_no_view_yet(tmp_path: Path) -> None:
    log = counted(LogBuilder(), 2)
    event_id = log.rows[-1].event_id
    assert event_id is not None
    timer = threading.Timer(0.1, fold_live, (DataDir(tmp_path), log))
    timer.start()
    with Client(tmp_path) as client:
        assert client.wait_for(event_id, timeout=90) == 2
        assert client.wait_for(1) == 1
        timer.join()
        with pytest.raises(ReceiptTimeoutError):
            client.wait_for(3, timeout=0.05)
        with pytest.raises(ReceiptTimeoutError):
            client.wait_for(new_id(), timeout=0.05)


def test_waiting_for_a_quarantined_event_says_why(tmp_path: Path) -> None:
    bad = new_id()
    client = client_of(tmp_path, lambda log: log.add_raw(b"\xc1 not an event", bad))
    with pytest.raises(NotSentError, match="quarantine"):
        client.wait_for(bad, timeout=90)
    [row] = client.quarantine()
    assert (row["position"], row["event_id"], row["stage"]) == (1, bad, "decode")


def test_lag_is_known_only_while_the_projector_speaks(tmp_path: Path) -> None:
    client = client_of(tmp_path, lambda log: counted(log, 3))
    assert client.lag is None
    for age, expected in ((0.0, 4), (60.0, None)):
        status = ProjectorStatus(
            pid=1, http="", connected=True, stream_last=7, archived=3, folded=3, quarantined=0,
            updated=time.time() - age,
        )  # fmt: skip
        write_struct(DataDir(tmp_path).status, status)
        assert client.lag == expected


def test_gaps_in_a_producers_numbers_show(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        counted(log, 2)
        log.log("artifact:a@1", {"one": 3, "two": {"same": 3}}, producer_seq=6)

    [producer] = client_of(tmp_path, write).producers()
    assert (producer["highest_seq"], producer["missing"]) == (6, 3)


# -- the cost of a read ------------------------------------------------------------------------------


def plan(client: Client, sql: str, values: Any) -> list[str]:
    return [str(row[3]) for row in client.scope.reader.rows(f"EXPLAIN QUERY PLAN {sql}", values)]


BOUND = {
    "entity": 1, "entities": "[1, 2]", "scope": "metadata", "path": 1, "position": 1, "occurred": 1,
    "first": 0, "last": 9, "limit": 5,
}  # fmt: skip


@pytest.mark.parametrize(
    ("sql", "values"),
    [
        (leaves._HEADS.format(heads=leaves._ONE, order=""), BOUND),
        (leaves._HEADS.format(heads=leaves._MANY, order="h.entity_id, "), BOUND),
        (leaves._AS_OF.format(heads=leaves._ONE), BOUND),
        (leaves._AS_OF.format(heads=leaves._MANY), BOUND),
        (history._NEWEST, BOUND),
        (history._OLDEST, BOUND),
        (leaves._OCCURRED.format(heads=leaves._ONE), BOUND),
        (series._SERIES.format(order="ASC"), BOUND),
        (events._EVENT, (json.dumps([1]),)),
    ],
    ids=["current", "steps", "as_of", "steps_as_of", "history", "history_on", "occurred", "series", "events"],
)
def test_no_read_scans_a_table(tmp_path: Path, sql: str, values: Any) -> None:
    steps = plan(client_of(tmp_path, lambda log: counted(log, 50)), sql, values)
    scans = [
        step for step in steps if step.startswith("SCAN") and "VIRTUAL TABLE" not in step and "CONSTANT" not in step
    ]
    assert scans == []
    assert any(step.startswith("SEARCH") for step in steps)


def steps_taken(client: Client, read: Any) -> int:
    """SQLite's own instructions, in hundreds: the work of a read, whatever the machine is busy with."""
    count = 0

    def tick() -> int:
        nonlocal count
        count += 1
        return 0

    with client.scope.reader.read() as connection:
        connection.set_progress_handler(tick, 100)
        try:
            read(client)
        finally:
            connection.set_progress_handler(None, 0)
    return count


@pytest.mark.parametrize("older", [10_000, pytest.param(100_000, marks=pytest.mark.slow)])
def test_reads_do_not_grow_with_older_values(tmp_path: Path, older: int) -> None:
    few = client_of(tmp_path / "few", lambda log: counted(log, 1_000))
    many = client_of(tmp_path / "many", lambda log: counted(log, 1_000 + older))
    for read in (
        lambda client: client.get("artifact:a@1").run_metadata,
        lambda client: client.get("artifact:a@1").as_of(900).metadata,
        lambda client: client.get("artifact:a@1").history("one", limit=500),
        lambda client: client.get("artifact:a@1").history("two", limit=500),
    ):
        for client in (few, many):
            assert read(client)
        assert steps_taken(many, read) <= 1.5 * steps_taken(few, read) + 2


def test_a_read_goes_on_when_current_is_put_back_while_it_looks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = DataDir(tmp_path)
    fold_live(data, counted(LogBuilder(), 3))
    name, current_view = data.current.read_bytes(), DataDir.current_view
    data.current.unlink()

    def put_back(self: DataDir) -> Path:
        self.current.write_bytes(name)
        return current_view(self)

    monkeypatch.setattr(DataDir, "current_view", put_back)
    with Client(tmp_path) as client:
        assert client.position == 3


def test_a_missing_view_is_not_found_and_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="runlore up"):
        ViewReader(tmp_path).one("SELECT 1")
