"""What only the signed checkpoints can show."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import pytest

from runlore.projector.audit.signing import CheckpointWriter
from runlore.store.audit.checkpoint import Checkpoint, read_checkpoint
from tests.audit.logs import Folder, message, messages


def rewrite(folder: Folder, until: int, change: tuple[int, bytes]) -> None:
    """Recreate the whole log with one payload changed: rows, leaves, nodes and state all agree."""
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


def test_a_log_cut_together_with_its_tree_is_caught_by_the_checkpoints_it_left(filled: Folder) -> None:
    rewrite(filled, 300, (333, b"unchanged"))
    filled.tamper("UPDATE log_state SET position = 300")
    [problem] = filled.verify().problems
    assert (problem.place, problem.position) == ("checkpoint", 301)
    assert "400 leaves, the log has 300" in problem.what


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
    ("statement", "expected"),
    [
        ("UPDATE checkpoints SET note = replace(note, '300', '301') WHERE size = 300", "signature"),
        ("UPDATE checkpoints SET note = 'hello' WHERE size = 300", "not a signed note"),
        ("UPDATE checkpoints SET size = 350 WHERE size = 300", "speaks of 300"),
        ("UPDATE checkpoints SET note = (SELECT note FROM checkpoints WHERE size = 400) WHERE size = 300", "of 400"),
    ],
)
def test_a_changed_checkpoint_is_found(filled: Folder, statement: str, expected: str) -> None:
    filled.tamper(statement)
    [problem] = filled.verify().problems
    assert problem.place == "checkpoint"
    assert expected in problem.what


def test_a_checkpoint_by_another_key_does_not_count(filled: Folder, tmp_path: Path) -> None:
    filled.key.unlink()
    [problem] = filled.verify().problems
    assert "no trusted key" in problem.what
