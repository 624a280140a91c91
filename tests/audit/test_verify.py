from __future__ import annotations

import shutil
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from runlore.projector.archive import Archive, ArchiveReader
from runlore.projector.audit.growth import append_leaves
from runlore.projector.audit.signing import CheckpointWriter
from runlore.projector.audit.verify import verify_log
from runlore.schemas import CorruptLogError, NotFoundError
from runlore.schemas.audit.checkpoint import Checkpoint, read_checkpoint
from runlore.schemas.audit.tree import Tree
from runlore.schemas.sqlite import sqlite
from tests.audit.logs import Folder, message, messages


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """700 events in seven batches, each signed."""
    folder = Folder(tmp_path_factory.mktemp("template"))
    folder.fill([messages(first, first + 99) for first in range(1, 701, 100)])
    return folder


@pytest.fixture
def filled(folder: Folder, template: Folder) -> Folder:
    shutil.copy(template.log, folder.log)
    shutil.copy(template.key, folder.key)
    return folder


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


@pytest.mark.parametrize("last", [0, 1, 255, 256, 650, 699])
def test_a_truncated_log_is_named_at_the_first_missing_row(filled: Folder, last: int) -> None:
    filled.tamper(f"DELETE FROM log WHERE position > {last}")
    assert [problem.position for problem in filled.verify().problems] == [last + 1]
    filled.tamper(f"UPDATE log_state SET position = {last}")
    assert [problem.position for problem in filled.verify().problems] == [last + 1]


def test_a_row_hidden_behind_a_forged_gap_is_named(filled: Folder) -> None:
    filled.tamper("DELETE FROM log WHERE position = 300", "INSERT INTO gaps VALUES (300, 300, 1, 'gone')")
    assert [problem.position for problem in filled.verify().problems] == [300]


def rewrite(folder: Folder, until: int, change: tuple[int, bytes]) -> None:
    """Make the whole log anew with one payload changed: rows, leaves, nodes and state all agree."""
    other = Folder(folder.log.parent / "forged")
    other.log.parent.mkdir()
    rows = [message(at, change[1]) if at == change[0] else message(at) for at in range(1, until + 1)]
    other.fill([rows], sign=False)
    connection_rows = folder.rows("SELECT * FROM checkpoints")
    assert connection_rows
    folder.tamper(
        f"ATTACH '{other.log}' AS forged",
        *(f"DELETE FROM {table}" for table in ("log", "tree_leaves", "tree_nodes", "tree_state")),
        *(
            f"INSERT INTO {table} SELECT * FROM forged.{table}"
            for table in ("log", "tree_leaves", "tree_nodes", "tree_state")
        ),
    )


def test_a_consistent_rewrite_is_caught_by_the_signed_checkpoints(filled: Folder) -> None:
    rewrite(filled, 700, (333, b"forged"))
    [problem] = filled.verify().problems
    assert (problem.place, problem.position) == ("checkpoint", 301)
    assert "positions 301 to 400" in problem.what


def test_a_rewrite_that_removes_the_checkpoints_is_caught_by_one_from_outside(filled: Folder) -> None:
    [(note,)] = filled.rows("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1")
    outside = read_checkpoint(str(note), [filled.verifier()])
    rewrite(filled, 700, (333, b"forged"))
    filled.tamper("DELETE FROM checkpoints", "UPDATE log_state SET created = 1e11")
    assert filled.verify().problems == []  # so new that nothing is signed yet
    [problem] = filled.verify(outside).problems
    assert problem.place == "checkpoint"
    assert "from outside" in problem.what


def test_a_log_that_must_have_been_signed_and_has_no_signature_is_wrong(filled: Folder) -> None:
    filled.tamper("DELETE FROM checkpoints")
    assert filled.rows("SELECT count(*) FROM checkpoints") == [(0,)]
    filled.tamper("UPDATE log_state SET created = created - 600")
    [problem] = filled.verify().problems
    assert problem.place == "checkpoint"
    assert "700 leaves and no signature" in problem.what


def test_a_log_without_a_signature_is_fine_while_its_first_row_is_new(folder: Folder) -> None:
    folder.fill([[message(1)._replace(recorded_ns=time.time_ns())]], sign=False)
    folder.tamper("UPDATE log_state SET created = created - 600")
    assert folder.verify().problems == []


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


def test_a_removed_tree_is_a_problem_and_no_advice_to_make_it_anew(filled: Folder) -> None:
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


def test_a_log_cut_together_with_its_tree_is_caught_by_the_checkpoints_it_left(filled: Folder) -> None:
    rewrite(filled, 300, (333, b"unchanged"))
    filled.tamper("UPDATE log_state SET position = 300")
    [problem] = filled.verify().problems
    assert (problem.place, problem.position) == ("checkpoint", 301)
    assert "400 leaves, the log has 300" in problem.what


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


def test_a_file_rolled_back_to_a_copy_is_caught_by_the_outside_checkpoint(folder: Folder) -> None:
    folder.fill([messages(1, 300)])
    copy = folder.log.with_name("copy.db")
    shutil.copy(folder.log, copy)
    archive = folder.open()
    archive.append(messages(301, 500))
    CheckpointWriter(archive, folder.key).sign()
    outside = Checkpoint(archive.coder.origin, archive.tree.size, archive.tree.root())
    archive.close()
    assert folder.verify(outside).problems == []
    shutil.copy(copy, folder.log)
    assert folder.verify().problems == []
    [problem] = folder.verify(outside).problems
    assert problem.place == "checkpoint"
    assert "500 leaves, the log has 300" in problem.what


@pytest.mark.parametrize(
    ("statement", "said"),
    [
        ("UPDATE checkpoints SET note = replace(note, '300', '301') WHERE size = 300", "signature"),
        ("UPDATE checkpoints SET note = 'hello' WHERE size = 300", "no signed note"),
        ("UPDATE checkpoints SET size = 350 WHERE size = 300", "speaks of 300"),
        ("UPDATE checkpoints SET note = (SELECT note FROM checkpoints WHERE size = 400) WHERE size = 300", "of 400"),
    ],
)
def test_a_changed_checkpoint_is_found(filled: Folder, statement: str, said: str) -> None:
    filled.tamper(statement)
    [problem] = filled.verify().problems
    assert problem.place == "checkpoint"
    assert said in problem.what


def test_a_checkpoint_by_another_key_does_not_count(filled: Folder, tmp_path: Path) -> None:
    filled.key.unlink()
    [problem] = filled.verify().problems
    assert "no trusted key" in problem.what


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


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_any_batch_borders_restarts_duplicates_and_gaps_give_the_same_tree(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    pieces: list[object] = []
    position = 0
    for size in data.draw(st.lists(st.integers(1, 300), min_size=1, max_size=6)):
        if data.draw(st.booleans()):
            pieces += [message(position + n, event_id=data.draw(st.sampled_from(["", "", "same", None]))) if n < 4
                       else message(position + n) for n in range(1, size + 1)]  # fmt: skip
        else:
            pieces.append((position + 1, position + size, "gone"))
        position += size
    roots = set()
    for _ in range(2):
        folder = Folder(tmp_path_factory.mktemp("log"))
        archive = folder.open()
        rest = list(pieces)
        while rest:
            if isinstance(rest[0], tuple) and len(rest[0]) == 3:
                archive.record_gap(*rest.pop(0))  # type: ignore[arg-type]
            else:
                run = 1
                while run < len(rest) and len(rest[run]) != 3:  # type: ignore[arg-type]
                    run += 1
                take = data.draw(st.integers(1, run))
                archive.append(rest[:take])  # type: ignore[arg-type]
                del rest[:take]
            if data.draw(st.booleans()):
                archive.close()
                archive = folder.open()
        roots.add((archive.tree.size, archive.tree.root()))
        archive.close()
        assert folder.verify().problems == []
    assert len(roots) == 1


def test_an_older_log_gets_its_tree_when_it_is_opened(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    archive = folder.open()
    archive.append(messages(1, 500))
    archive.record_gap(501, 1500, "gone")
    archive.append(messages(1501, 1700))
    tree = archive.tree
    archive.close()
    folder.forget_tree()
    [problem] = folder.verify().problems
    assert "a version without one wrote them" in problem.what
    monkeypatch.setattr("runlore.projector.audit.growth.CATCH_UP_POSITIONS", 300)
    archive = Archive.open(folder.log, "epoch-1")
    assert archive.tree == tree
    archive.append(messages(1701, 1800))
    archive.close()
    assert folder.verify().problems == []


def test_building_the_tree_of_an_older_log_goes_on_where_it_stopped(
    folder: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = folder.open()
    archive.append(messages(1, 1000))
    tree = archive.tree
    archive.close()
    folder.forget_tree()
    monkeypatch.setattr("runlore.projector.audit.growth.CATCH_UP_POSITIONS", 300)
    with monkeypatch.context() as broken:
        broken.setattr("runlore.projector.audit.growth.append_leaves", stop_after(2))
        with pytest.raises(KeyboardInterrupt):
            folder.open()
    assert folder.rows("SELECT position FROM tree_state") == [(600,)]
    archive = folder.open()
    assert archive.tree == tree
    archive.close()


def stop_after(times: int) -> Callable[..., Tree]:
    calls = iter(range(times))

    def append(*arguments: Any) -> Tree:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        return append_leaves(*arguments)

    return append
