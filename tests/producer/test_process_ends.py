"""Calls at the very end of a process, and processes without the surroundings that others have."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from log_tools import logged, make_stream, run_python

from runlore.cli.server import EmbeddedServer
from runlore.producer import configure, drain, log_metadata, outbox_status
from runlore.schemas import Settings
from runlore.store.folder import DataDir


def waiting(folder: Path) -> int:
    return sum(one.waiting for one in outbox_status(DataDir(folder)))


def test_what_exit_handlers_log_before_and_after_the_last_flush_arrives(
    server: EmbeddedServer, settings: Settings
) -> None:
    make_stream(settings)
    run_python("""
        import atexit
        @atexit.register
        def runs_last():
            from runlore.producer import log_metadata
            log_metadata({"n": "after"}, "model:m")
        from runlore.producer import log_metadata
        log_metadata({"n": "early"}, "model:m")
        @atexit.register
        def runs_first():
            log_metadata({"n": "late"}, "model:m")
    """)
    assert drain(settings, 90).unsent == 0
    assert sorted(logged(settings)) == ["after", "early", "late"]


def test_daemon_threads_that_log_until_the_end_disturb_nobody(settings: Settings) -> None:
    done = run_python("""
        import threading
        from runlore.producer import log_metadata
        begun = threading.Barrier(3)
        def work():
            log_metadata({"i": 0}, "model:m")
            begun.wait()
            while True:
                log_metadata({"i": 1}, "model:m")
        for _ in range(2):
            threading.Thread(target=work, daemon=True).start()
        begun.wait()
    """)
    assert "Traceback" not in done.stderr
    assert waiting(settings.data_dir) >= 2


def test_a_relative_folder_stays_where_it_was_when_the_working_folder_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    monkeypatch.chdir(first)
    configure(data_dir="kept", mode="offline")
    log_metadata({"n": 1}, "model:m")
    monkeypatch.chdir(second)
    log_metadata({"n": 2}, "model:m")
    configure(mode="disabled")
    assert waiting(first / "kept") == 2
    assert list(second.iterdir()) == []


def test_a_process_whose_working_folder_was_removed_logs(settings: Settings) -> None:
    run_python(
        """
        import os, tempfile
        from runlore.producer import log_metadata
        folder = tempfile.mkdtemp()
        os.chdir(folder)
        os.rmdir(folder)
        log_metadata({"n": 1}, "model:m")
        """,
        RUNLORE_MODE="offline",
    )
    assert waiting(settings.data_dir) == 1


@pytest.mark.skipif(os.getuid() != 0, reason="only root becomes a user that the system does not know")
def test_a_user_without_a_name_or_a_home_logs(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_python(
        """
        import os
        from runlore.producer import log_metadata
        from runlore.producer.actor import this_actor
        this_actor()  # loads what only root may read here: the interpreter's own modules
        for name in ("USER", "LOGNAME", "LNAME", "USERNAME", "HOME"):
            os.environ.pop(name, None)
        os.setgroups([]); os.setgid(12345); os.setuid(12345)
        log_metadata({"n": 1}, "model:m")
        """,
        RUNLORE_MODE="offline",
        RUNLORE_DATA_DIR=str(_open_to_all(tmp_path) / "data"),
    )
    monkeypatch.setenv("RUNLORE_TRUST_FOLDER", "1")  # root looks into the other user's folder
    assert waiting(tmp_path / "open" / "data") == 1


def _open_to_all(tmp_path: Path) -> Path:
    """A folder that every user may write to, as may every folder above be passed."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o777)
    for above in folder.parents[:-1]:
        if above.stat().st_uid == os.getuid():
            above.chmod(above.stat().st_mode | 0o011)
    return folder


def test_a_process_that_may_open_no_more_files_is_told_so_and_goes_on_when_it_may(settings: Settings) -> None:
    done = run_python("""
        import gc, os, resource
        from runlore.producer import Producer
        from runlore.schemas import EntityRef, MetadataLogged, OutboxError

        def fill(left):
            files = []
            try:
                while True:
                    files.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                for _ in range(left):
                    os.close(files.pop())
            return files

        def close(files):
            for file in files:
                os.close(file)

        resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
        refused = 0
        for left in range(8):
            producer, fact = Producer(), MetadataLogged((EntityRef("model", "m"),), {"n": left})
            files = fill(left)
            try:
                producer.emit_nowait(fact)
                stored = True
            except OutboxError:
                stored = False
            if not stored:
                refused += 1
                gc.collect()
                more = fill(0)
                assert len(more) == left, f"of {left} files {left - len(more)} are open that a refused call opened"
                files += more
            close(files)
            if not stored:
                producer.emit_nowait(fact)
            producer.close()
        print(refused)
    """)
    assert int(done.stdout) >= 4
    assert waiting(settings.data_dir) == 8
