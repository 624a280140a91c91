from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runlore.projector import ArchiveReader
from runlore.projector.archiving import archive
from runlore.projector.archiving.archive import PAGE_BYTES, Archive
from runlore.projector.database import MachineErrors, open_writer
from runlore.schemas import CorruptLogError, NotFoundError
from runlore.store.database import Database
from runlore.store.log_rows import Received
from runlore.store.sqlite import sqlite


def message(position: int, event_id: str | None = None, payload: bytes = b"p") -> Received:
    return Received(position, event_id, position * 1000, "runlore.default.x", b"NATS/1.0\r\n\r\n", payload)


def messages(first: int, last: int) -> list[Received]:
    return [message(position, f"event-{position}") for position in range(first, last + 1)]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "projection" / "log.db"


@pytest.fixture
def log(path: Path) -> Iterator[Archive]:
    log = Archive.open(path, "epoch-1")
    yield log
    log.close()


def rows(path: Path) -> list[tuple[int, str | None, int | None]]:
    reader = ArchiveReader(path)
    try:
        return [(row.position, row.event_id, row.duplicate_of) for row in reader.read(0, 10_000)]
    finally:
        reader.close()


def test_messages_come_back_byte_for_byte_after_reopening(path: Path) -> None:
    log = Archive.open(path, "epoch-1")
    log.append([message(1, "a", bytes(range(256))), message(2, None, b"")])
    log.close()
    reader = ArchiveReader(path)
    assert (reader.position, reader.epoch) == (2, "epoch-1")
    first, second = reader.read(0, 10)
    assert first[:6] == (1, "a", 1000, "runlore.default.x", bytes(range(256)), None)
    assert (second.event_id, second.payload) == (None, b"")
    reader.close()
    again = Archive.open(path, "epoch-2")
    assert (again.position, again.epoch) == (2, "epoch-1")
    assert again.last() == second
    again.close()


def test_an_empty_log_adopts_the_stream_it_meets(path: Path) -> None:
    Archive.open(path, "epoch-1").close()
    log = Archive.open(path, "epoch-2")
    assert (log.position, log.epoch, log.last()) == (0, "epoch-2", None)
    log.close()


@pytest.mark.parametrize("positions", [[2], [1, 3], [2, 1], [1, 1], [0, 1]])
def test_messages_that_do_not_follow_are_refused_whole(log: Archive, path: Path, positions: list[int]) -> None:
    with pytest.raises((CorruptLogError, sqlite.Error, *MachineErrors)):
        log.append([message(position, f"e{index}") for index, position in enumerate(positions)])
    assert rows(path) == []
    assert log.position == 0
    log.append(messages(1, 3))
    assert log.position == 3


def test_a_second_writer_cannot_move_the_position(log: Archive, path: Path) -> None:
    other = Archive.open(path, "epoch-1")
    log.append(messages(1, 2))
    with pytest.raises(CorruptLogError, match="someone else moved"):
        other.record_gap(1, 1, "test")
    other.close()
    assert [position for position, *_ in rows(path)] == [1, 2]
    log.append(messages(3, 3))


def test_the_same_event_twice_is_stored_twice_and_marked_once(log: Archive, path: Path) -> None:
    log.append(messages(1, 3))
    log.append([message(4, "event-2"), message(5, "new"), message(6, "new"), message(7, "event-2")])
    assert rows(path)[3:] == [(4, "event-2", 2), (5, "new", None), (6, "new", 5), (7, "event-2", 2)]
    assert (log.position, log.duplicates) == (7, 3)


def test_messages_without_an_event_id_are_no_duplicates_of_each_other(log: Archive, path: Path) -> None:
    log.append([message(1), message(2), message(3, "a"), message(4, "a"), message(5)])
    assert [row[2] for row in rows(path)] == [None, None, None, 3, None]


@pytest.mark.parametrize("statement", ["UPDATE log SET payload = x'00'", "DELETE FROM log WHERE position = 1"])
def test_the_log_is_append_only_even_for_a_shell(log: Archive, path: Path, statement: str) -> None:
    log.append(messages(1, 2))
    connection = open_writer(path).conn
    with pytest.raises(MachineErrors, match="append-only"):
        connection.execute(statement)
    connection.close()
    assert len(rows(path)) == 2


def test_a_gap_is_recorded_and_passed_in_one_step(log: Archive, path: Path) -> None:
    log.append(messages(1, 2))
    log.record_gap(3, 5, "gone")
    log.append(messages(6, 7))
    assert [position for position, *_ in rows(path)] == [1, 2, 6, 7]
    assert (log.position, log.gaps) == (7, 1)
    with pytest.raises(CorruptLogError, match="does not follow"):
        log.record_gap(9, 9, "skips position 8")


def test_a_full_disk_stores_nothing_of_the_batch(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def small(path: Path, page_bytes: int) -> Database:
        db = open_writer(path, page_bytes=page_bytes)
        db.conn.execute("PRAGMA max_page_count = 40").fetchall()
        return db

    monkeypatch.setattr(archive, "open_writer", small)
    log = Archive.open(path, "epoch-1")
    log.append(messages(1, 5))
    with pytest.raises(MachineErrors, match="full"):
        log.append([message(position, None, b"x" * 10_000) for position in range(6, 106)])
    assert log.position == 5
    log.append(messages(6, 8))
    log.close()
    assert len(rows(path)) == 8


def test_reading_is_bounded_by_bytes_too(log: Archive, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "READ_BYTES", 10_000)
    log.append([message(position, None, b"x" * 1000) for position in range(1, 1001)])
    reader = ArchiveReader(path)
    seen: list[int] = []
    while some := reader.read(len(seen), 1000):
        assert len(some) < 1000
        seen += [row.position for row in some]
    reader.close()
    assert seen == list(range(1, 1001))


def test_a_reader_sees_new_rows_while_the_writer_goes_on(log: Archive, path: Path) -> None:
    reader = ArchiveReader(path)
    for batch in range(5):
        log.append(messages(batch * 10 + 1, batch * 10 + 10))
        assert reader.position == batch * 10 + 10
        assert len(reader.read(batch * 10, 100)) == 10
    log.checkpoint()
    assert log.wal_bytes() == 0
    reader.close()


def test_a_log_that_is_not_there_is_not_made_by_reading(path: Path) -> None:
    with pytest.raises(NotFoundError, match="no log"):
        ArchiveReader(path)
    assert not path.exists()


def test_a_damaged_file_is_named_and_left_alone(path: Path) -> None:
    path.parent.mkdir(parents=True)
    path.write_bytes(b"this is not a database" * 500)
    before = path.read_bytes()
    with pytest.raises(CorruptLogError, match=r"log.db is damaged"):
        Archive.open(path, "epoch-1")
    with pytest.raises(CorruptLogError, match="keep a copy"):
        ArchiveReader(path)
    assert path.read_bytes() == before


def test_a_damaged_page_is_an_error_and_never_an_empty_answer(path: Path) -> None:
    log = Archive.open(path, "epoch-1")
    log.append([message(position, f"e{position}", b"x" * 2000) for position in range(1, 200)])
    log.close()
    content = bytearray(path.read_bytes())
    content[32 * PAGE_BYTES : -PAGE_BYTES] = b"\xff" * (len(content) - 33 * PAGE_BYTES)  # the schema comes first
    path.write_bytes(content)
    reader = ArchiveReader(path)
    with pytest.raises(CorruptLogError, match="damaged"):
        reader.read(0, 1000)
    reader.close()
