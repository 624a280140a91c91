"""The board: what is open in a process, as its workers see it."""

from __future__ import annotations

from pathlib import Path

from log_tools import run_python

from runlore.producer.actor import this_process
from runlore.producer.runs.board import SIZE, board_of, own_board


def test_workers_see_what_is_shown_last(tmp_path: Path) -> None:
    writer, reader = own_board(tmp_path), board_of(tmp_path, this_process().name)
    assert writer is not None
    assert reader is not None
    for names in (["r1", "r1\0训练"], ["r2"], []):
        writer.show(names)
        assert [name for name in ("r1", "r1\0训练", "r2") if reader.has(name)] == names
    writer.show(["x" * SIZE])
    assert reader.has("anything")  # too much to tell: workers believe their environment
    writer.show(["r3"])
    assert not reader.has("anything")
    again = own_board(tmp_path)
    assert again is not None
    again.show(["r4"])
    assert reader.has("r3")  # its memory is not taken away


def test_where_there_is_no_board_nobody_fails(tmp_path: Path) -> None:
    assert board_of(tmp_path, "elsewhere/1/2026-01-01T00:00:00Z") is None
    (tmp_path / "open").write_text("a file in the folder's place")
    assert own_board(tmp_path) is None


def test_boards_of_ended_and_killed_processes_are_removed(tmp_path: Path) -> None:
    code = """
    import os, sys
    from runlore.producer import run_context
    with run_context("nightly"):
        if sys.argv[1] == "killed":
            os.kill(os.getpid(), 9)
    """
    run_python(code, "ends", RUNLORE_DATA_DIR=str(tmp_path), RUNLORE_MODE="offline")
    assert list((tmp_path / "open").iterdir()) == []
    run_python(code, "killed", check=False, RUNLORE_DATA_DIR=str(tmp_path), RUNLORE_MODE="offline")
    assert len(list((tmp_path / "open").iterdir())) == 1
    assert own_board(tmp_path) is not None
    assert len(list((tmp_path / "open").iterdir())) == 1


def test_a_disabled_producer_writes_no_board(tmp_path: Path) -> None:
    run_python(
        "from runlore.producer import run_context\nwith run_context('nightly'): pass",
        RUNLORE_DATA_DIR=str(tmp_path / "data"),
        RUNLORE_MODE="disabled",
    )
    assert not (tmp_path / "data").exists()
