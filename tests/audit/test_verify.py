"""Verifying a log: whatever was changed is named."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import pytest

from runlore.projector.archiving.archive import ArchiveReader
from runlore.projector.audit import verify
from runlore.projector.audit.opening import open_audited
from runlore.projector.audit.signing import CheckpointWriter
from runlore.projector.audit.verify import verify_log
from runlore.schemas import CorruptLogError, NotFoundError
from runlore.store.audit.tree import Growth, Tree
from runlore.store.sqlite import sqlite
from tests.audit.logs import Folder, message, messages


def test_an_untouched_log_verifies(filled: Folder) -> None:
    report = filled.verify()
    assert report.problems == []
    assert (report.position, report.events, report.leaves, report.gaps) == (700, 700, 700, 0)
    assert (report.checkpoints, report.signed) == (7, 700)


def test_an_empty_log_verifies(folder: Folder) -> None:
    folder.open().close()
    report = folder.verify()
    assert (report.problems, report.leaves) == ([], 0)


def test_duplicates_and_gaps_are_leaves_and_verify(folder: Folder) -> None:
    archive = folder.open()
    archive.append([*messages(1, 5), message(6, event_id="event-2"), message(7, event_id=None)])
    archive.record_gap(8, 1000, "the stream no longer holds these positions")
    archive.append(messages(1001, 1400))
    CheckpointWriter(archive, folder.key).sign()
    archive.close()
    report = folder.verify()
    assert report.problems == []
    assert (report.events, report.duplicates, report.gaps, report.leaves) == (407, 1, 1, 408)


CHANGES = {
    "payload": "UPDATE log SET payload = x'00' WHERE position = {0}",
    "headers": "UPDATE log SET headers = x'00' WHERE position = {0}",
    "subject": "UPDATE log SET subject = 'runlore.default.model.m9' WHERE position = {0}",
    "time": "UPDATE log SET recorded_ns = recorded_ns + 1 WHERE position = {0}",
    "event ID": "UPDATE log SET event_id = 'other' WHERE position = {0}",
    "no event ID": "UPDATE log SET event_id = NULL WHERE position = {0}",
    "duplicate mark": "UPDATE log SET duplicate_of = 1 WHERE position = {0}",
    "drop": "DELETE FROM log WHERE position = {0}",
    "text that is no UTF-8": "UPDATE log SET subject = CAST(x'ff00' AS TEXT) WHERE position = {0}",
}


@pytest.mark.parametrize("position", [1, 2, 255, 256, 257, 512, 699, 700])
@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_row_is_named(filled: Folder, change: str, position: int) -> None:
    filled.tamper(CHANGES[change].format(position))
    [problem] = filled.verify().problems
    assert (problem.place, problem.position) == ("log", position), problem


def test_the_first_of_two_wrong_rows_is_named(filled: Folder) -> None:
    filled.tamper("DELETE FROM log WHERE position = 400", CHANGES["payload"].format(390))
    assert [problem.position for problem in filled.verify().problems] == [390]


def test_two_swapped_rows_are_named_by_the_first(filled: Folder) -> None:
    filled.tamper(
        "UPDATE log SET position = -1 WHERE position = 300",
        "UPDATE log SET position = 300 WHERE position = 600",
        "UPDATE log SET position = 600 WHERE position = -1",
    )
    assert [problem.position for problem in filled.verify().problems] == [300]


def test_an_inserted_row_is_named_where_everything_shifts(filled: Folder) -> None:
    filled.tamper(
        "UPDATE log SET position = -position WHERE position >= 300",
        "UPDATE log SET position = 1 - position WHERE position < 0",
        "INSERT INTO log VALUES (300, 'forged', 1, 'runlore.default.x', x'', x'', NULL)",
        "UPDATE log_state SET position = 701",
    )
    assert [problem.position for problem in filled.verify().problems] == [300]


def test_a_row_inserted_into_a_gap_is_named(folder: Folder) -> None:
    archive = folder.open()
    archive.append(messages(1, 5))
    archive.record_gap(6, 9, "gone")
    archive.append(messages(10, 20))
    archive.close()
    folder.tamper("INSERT INTO log VALUES (7, 'forged', 1, 'runlore.default.x', x'', x'', NULL)")
    assert [problem.position for problem in folder.verify().problems] == [7]


def test_a_row_beyond_the_end_is_named(filled: Folder) -> None:
    filled.tamper("INSERT INTO log VALUES (701, 'forged', 1, 'runlore.default.x', x'', x'', NULL)")
    assert [problem.position for problem in filled.verify().problems] == [701]


STRAYS = {
    "gap beyond the end": ("INSERT INTO gaps VALUES (701, 800, 1, 'fake')", "log", 701),
    "gap far beyond the end": ("INSERT INTO gaps VALUES (5000, 5001, 1, 'fake')", "log", 5000),
    "gap across the end": ("INSERT INTO gaps VALUES (700, 701, 1, 'fake')", "log", 700),
    "gap across the beginning": ("INSERT INTO gaps VALUES (-3, 4, 1, 'fake')", "log", -3),
    "gap before the beginning": ("INSERT INTO gaps VALUES (-9, -3, 1, 'fake')", "log", -9),
    "gap at zero": ("INSERT INTO gaps VALUES (0, 0, 1, 'fake')", "log", 0),
    "gap that ends before it begins": ("INSERT INTO gaps VALUES (300, 299, 1, 'fake')", "log", 300),
    "gap that ends before the beginning": ("INSERT INTO gaps VALUES (300, -299, 1, 'fake')", "log", 300),
    "gap over rows": ("INSERT INTO gaps VALUES (300, 310, 1, 'fake')", "log", 300),
    "row at zero": ("INSERT INTO log VALUES (0, 'f', 1, 'runlore.default.x', x'', x'', NULL)", "log", 0),
    "row before the beginning": ("INSERT INTO log VALUES (-7, 'f', 1, 'runlore.default.x', x'', x'', 1)", "log", -7),
    "leaves beyond the end": ("INSERT INTO tree_leaves VALUES (2, x'00')", "tree", None),
    "leaves before the beginning": ("INSERT INTO tree_leaves VALUES (-1, x'00')", "tree", None),
    "node beyond the end": ("INSERT INTO tree_nodes VALUES (8, 2, x'00')", "tree", None),
    "node of a level that is not there": ("INSERT INTO tree_nodes VALUES (10, 0, x'00')", "tree", None),
    "node of a level that is not kept": ("INSERT INTO tree_nodes VALUES (3, 0, x'00')", "tree", None),
    "node of a negative level": ("INSERT INTO tree_nodes VALUES (-1, 0, x'00')", "tree", None),
    "checkpoint of nothing": ("INSERT INTO checkpoints VALUES (0, 'x', 1)", "checkpoint", None),
    "checkpoint before the beginning": ("INSERT INTO checkpoints VALUES (-1, 'x', 1)", "checkpoint", None),
    "cosignature of nothing": ("INSERT INTO cosignatures VALUES (9999, 'w+00', 'x')", "checkpoint", None),
    "cosignature that is none": ("INSERT INTO cosignatures VALUES (700, 'w+00', 'x')", "checkpoint", None),
    "checkpoint beyond the end": ("INSERT INTO checkpoints VALUES (701, 'x', 1)", "checkpoint", 701),
}


@pytest.mark.parametrize("stray", STRAYS)
def test_a_row_that_is_no_part_of_the_log_is_a_problem_in_every_table(filled: Folder, stray: str) -> None:
    statement, place, position = STRAYS[stray]
    filled.tamper(statement)
    [problem] = filled.verify().problems
    assert (problem.place, problem.position) == (place, position), problem


def test_two_gaps_that_overlap_are_a_problem(folder: Folder) -> None:
    archive = folder.open()
    archive.append(messages(1, 5))
    archive.record_gap(6, 9, "gone")
    archive.append(messages(10, 20))
    archive.close()
    folder.tamper("INSERT INTO gaps VALUES (8, 9, 1, 'fake')")
    [problem] = folder.verify().problems
    assert (problem.place, problem.position) == ("log", 8)


@pytest.mark.parametrize("last", [0, 1, 255, 256, 650, 699])
def test_a_truncated_log_is_named_at_the_first_missing_row(filled: Folder, last: int) -> None:
    filled.tamper(f"DELETE FROM log WHERE position > {last}")
    assert [problem.position for problem in filled.verify().problems] == [last + 1]
    filled.tamper(f"UPDATE log_state SET position = {last}")
    assert [problem.position for problem in filled.verify().problems] == [last + 1]


def test_a_row_hidden_behind_a_forged_gap_is_named(filled: Folder) -> None:
    filled.tamper("DELETE FROM log WHERE position = 300", "INSERT INTO gaps VALUES (300, 300, 1, 'gone')")
    assert [problem.position for problem in filled.verify().problems] == [300]


@pytest.mark.parametrize(
    "table", ["log", "log_state", "tree_state", "tree_leaves", "tree_nodes", "checkpoints", "gaps"]
)
def test_a_dropped_table_is_a_problem_and_no_traceback(filled: Folder, table: str) -> None:
    connection = sqlite.connect(filled.log)
    connection.execute(f"DROP TABLE {table}")
    connection.commit()
    connection.close()
    [problem] = filled.verify().problems
    assert f"has lost its table {table}" in problem.what


def test_a_removed_tree_is_a_problem_and_no_advice_to_recreate_it(filled: Folder) -> None:
    filled.forget_tree()
    [problem] = filled.verify().problems
    assert "has rows and no audit tree" in problem.what


def test_an_empty_or_missing_file_is_a_problem(filled: Folder) -> None:
    filled.log.write_bytes(b"")
    [problem] = filled.verify().problems
    assert "holds no tables" in problem.what
    filled.log.write_bytes(b"no database, but long enough" * 100)
    [problem] = filled.verify().problems
    assert "damaged" in problem.what
    filled.log.unlink()
    [problem] = filled.verify().problems
    assert "is missing" in problem.what


def test_a_lost_position_is_a_problem(filled: Folder) -> None:
    filled.tamper("DELETE FROM log_state")
    [problem] = filled.verify().problems
    assert "lost its position" in problem.what
    with pytest.raises(CorruptLogError, match="lost its position"):
        ArchiveReader(filled.log)


def test_verification_takes_no_more_memory_for_a_longer_log(folder: Folder) -> None:
    peaks: list[int] = []
    for first, last in ((1, 3000), (3001, 12_000)):
        folder.fill([messages(at, at + 999) for at in range(first, last, 1000)], sign=False)
        folder.verify()  # what is imported and cached once is no matter of the log
        tracemalloc.start()
        assert folder.verify().problems == []
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < peaks[0] * 1.5  # for four times the log


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE tree_nodes SET hash = zeroblob(32) WHERE level = 8 AND idx = 1",
        "DELETE FROM tree_nodes WHERE level = 9",
        "UPDATE tree_state SET range = zeroblob(length(range))",
        "UPDATE tree_state SET range = x'00'",
        "DELETE FROM tree_state",
    ],
)
def test_a_changed_tree_is_found(filled: Folder, statement: str) -> None:
    filled.tamper(statement)
    [problem] = filled.verify().problems
    assert problem.place in ("tree", "log")


def test_a_damaged_page_is_found_without_a_traceback(folder: Folder) -> None:
    folder.fill([[message(position, b"x" * 2000) for position in range(1, 400)]])
    content = bytearray(folder.log.read_bytes())
    content[len(content) // 2 : -4096] = b"\xff" * (len(content) - 4096 - len(content) // 2)
    folder.log.write_bytes(content)
    [problem] = folder.verify().problems
    assert problem.place in ("log", "tree")


def test_a_log_without_even_a_folder_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError):
        verify_log(tmp_path / "nowhere" / "log.db", [])


def test_the_work_of_verification_grows_with_the_log_and_no_faster(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Instructions of SQLite's machine and hashes of the tree, for four times the events: no clock is asked."""
    steps = hashes = 0

    def tick() -> int:
        nonlocal steps
        steps += 1
        return 0

    def counted_open(path: Path) -> sqlite.Connection:
        connection = open_audited(path)
        connection.set_progress_handler(tick, 100)
        return connection

    def counted_grown(tree: Tree, leaves: list[bytes]) -> Growth:
        nonlocal hashes
        hashes += len(leaves) + len(tree.tail) // 32
        return grown(tree, leaves)

    grown = Tree.grown
    monkeypatch.setattr(verify, "open_audited", counted_open)
    monkeypatch.setattr(Tree, "grown", counted_grown)
    work: list[tuple[int, int]] = []
    for first, last in ((1, 2000), (2001, 8000)):
        folder.fill([messages(at, at + 99) for at in range(first, last, 100)])
        steps = hashes = 0
        assert folder.verify().problems == []
        work.append((steps, hashes))
    assert work[1][0] < work[0][0] * 4.4
    assert work[1][1] < work[0][1] * 4.4
