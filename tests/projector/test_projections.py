"""Projections of one's own: a class with a name, a version, tables and a function per fact."""

from __future__ import annotations

import re
import signal
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from nats_tools import until
from sqlite_utils import Database

from runlore.projector import Projection, Recorded, follow, on
from runlore.projector.archiving.archive import Archive
from runlore.schemas import FolderBusyError, MetadataLogged, ModelStageChanged, NotFoundError, SettingsError, parse_ref
from runlore.store.folder import DataDir
from runlore.store.lock import FolderLock
from runlore.store.log_rows import Received
from runlore.store.sqlite import sqlite
from tests.events import EPOCH, LogBuilder

DOCS = Path(__file__).parents[2] / "docs" / "projections.md"


class Stages(Projection):
    name, version = "stages", 1
    tables = "CREATE TABLE moves (position INTEGER PRIMARY KEY, model TEXT, stage TEXT) STRICT"

    @on(ModelStageChanged)
    def moved(self, db: sqlite3.Connection, fact: ModelStageChanged, at: Recorded) -> None:
        if fact.stage == "broken":
            db.execute("INSERT INTO moves VALUES (?, 'half', 'done')", (at.position,))
            raise ValueError("no such stage here")
        db.execute("INSERT INTO moves VALUES (?, ?, ?)", (at.position, str(fact.model), fact.stage))


class NewStages(Stages):
    version = 2


def moved(log: LogBuilder, *stages: str) -> None:
    for stage in stages:
        log.log("model:churn@1", {"n": 1})
        log.add(ModelStageChanged(parse_ref("model:churn@1"), stage))


def archive(data: DataDir, log: LogBuilder, after: int = 0) -> None:
    archive = Archive.open(data.log, EPOCH)
    archive.append([Received(*row[:4], b"", row[4]) for row in log.rows[after:]])
    archive.close()


def rows(path: Path, sql: str = "SELECT * FROM moves ORDER BY position") -> list[tuple[Any, ...]]:
    with sqlite.connect(path) as connection:
        return connection.execute(sql).fetchall()


def test_it_starts_with_the_first_event_and_goes_on_where_it_stopped(data: DataDir) -> None:
    log = LogBuilder()
    moved(log, "staging", "production")
    archive(data, log)
    path = follow(Stages(), data)
    assert rows(path) == [(2, "model:churn@1", "staging"), (4, "model:churn@1", "production")]
    moved(log, "archived")
    archive(data, log, after=4)
    assert follow(Stages(), data) == path
    assert [row[0] for row in rows(path)] == [2, 4, 6]
    assert rows(path, "SELECT position FROM view_state") == [(6,)]


def test_it_follows_the_log_until_it_is_stopped(data: DataDir) -> None:
    log, stop = LogBuilder(), threading.Event()
    moved(log, "staging")
    archive(data, log)
    path = data.projection / "stages-v1.db"
    thread = threading.Thread(target=follow, args=(Stages(), data, stop))
    thread.start()
    try:
        until(lambda: path.exists() and rows(path, "SELECT position FROM view_state") == [(2,)])
        moved(log, "production")
        archive(data, log, after=2)
        until(lambda: len(rows(path)) == 2)
    finally:
        stop.set()
        thread.join()


def test_another_version_is_rebuilt_and_the_old_file_removed(data: DataDir) -> None:
    log = LogBuilder()
    moved(log, "staging")
    archive(data, log)
    old = follow(Stages(), data)
    new = follow(NewStages(), data)
    assert (old.exists(), new.name, rows(new)) == (False, "stages-v2.db", [(2, "model:churn@1", "staging")])


def test_an_event_it_cannot_fold_is_quarantined_whole_and_the_next_one_is_folded(data: DataDir) -> None:
    log = LogBuilder()
    moved(log, "broken", "production")
    archive(data, log)
    path = follow(Stages(), data)
    assert rows(path) == [(4, "model:churn@1", "production")]
    assert rows(path, "SELECT position, stage, error FROM quarantine") == [
        (2, "fold", "ValueError: no such stage here")
    ]


def test_a_file_ahead_of_the_log_is_rebuilt(data: DataDir) -> None:
    log = LogBuilder()
    moved(log, "staging", "production")
    archive(data, log)
    path = follow(Stages(), data)
    data.log.unlink()
    log.rows = log.rows[:2]
    archive(data, log)
    assert rows(follow(Stages(), data)) == [(2, "model:churn@1", "staging")]
    assert path.exists()


def test_one_process_follows_with_a_projection(data: DataDir) -> None:
    archive(data, LogBuilder())
    with FolderLock(data.projection / "stages-v1.lock", "another"), pytest.raises(FolderBusyError):
        follow(Stages(), data)


def test_without_a_log_or_a_usable_name_it_says_so(data: DataDir) -> None:
    with pytest.raises(NotFoundError):
        follow(Stages(), data)
    for bad in ("view", "No Spaces", "../x"):
        wrong = type("Wrong", (Projection,), {"name": bad, "version": 1, "tables": ""})
        with pytest.raises(SettingsError, match="a name of lower-case"):
            follow(wrong(), data)


class Latest(Projection):
    name, version = "latest", 1

    def make_tables(self, db: Database) -> None:
        db["stages"].create({"model": str, "stage": str}, pk="model", strict=True)

    @on(ModelStageChanged)
    def moved(self, db: sqlite3.Connection, fact: ModelStageChanged, at: Recorded) -> None:
        db.execute("INSERT OR REPLACE INTO stages VALUES (?, ?)", (str(fact.model), fact.stage))


def test_its_tables_may_be_made_with_sqlite_utils(data: DataDir) -> None:
    log = LogBuilder()
    moved(log, "staging", "production")
    archive(data, log)
    follow(Latest(), data)
    assert rows(data.projection / "latest-v1.db", "SELECT * FROM stages") == [("model:churn@1", "production")]


def test_functions_are_inherited_and_facts_without_one_are_passed_over(data: DataDir) -> None:
    class Everything(Stages):
        name = "everything"

        @on(MetadataLogged)
        def logged(self, db: sqlite3.Connection, fact: MetadataLogged, at: Recorded) -> None:
            db.execute("INSERT INTO moves VALUES (?, 'logged', ?)", (at.position, ",".join(fact.metadata)))

    assert set(Everything.functions) == {ModelStageChanged, MetadataLogged}
    assert set(Stages.functions) == {ModelStageChanged}


def test_the_example_of_the_docs_runs_from_the_command_line(data: DataDir, tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n# leaderboard.py\n(.*?)```", DOCS.read_text(), re.DOTALL)
    (tmp_path / "leaderboard.py").write_text(code)
    log = LogBuilder()
    for version, accuracy in ((1, 0.8), (2, 0.95), (3, 0.9)):
        log.log(f"model:churn@{version}", {"evaluation_metrics": {"accuracy": accuracy}})
    log.log("artifact:rows@1", {"evaluation_metrics": {"accuracy": 1.0}})
    archive(data, log)
    command = [sys.executable, "-m", "runlore.cli", "project", "leaderboard:Leaderboard", "--data-dir", str(data.root)]
    done = subprocess.run([*command, "--once"], cwd=tmp_path, capture_output=True, text=True, timeout=90, check=False)
    assert done.returncode == 0, done.stderr
    path = data.projection / "leaderboard-v1.db"
    assert rows(path, "SELECT model, accuracy FROM best") == [("churn", 0.95)]

    following = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    log.log("model:churn@4", {"evaluation_metrics": {"accuracy": 0.97}})
    archive(data, log, after=4)
    until(lambda: rows(path, "SELECT accuracy FROM best") == [(0.97,)])
    following.send_signal(signal.SIGINT)
    assert "is up to date" in following.communicate(timeout=90)[1]
    assert following.returncode == 0


def test_what_is_no_projection_is_wrong_usage(data: DataDir) -> None:
    for wrong in ("leaderboard", "json:JSONDecoder", "no_such_module:X"):
        done = subprocess.run(
            [sys.executable, "-m", "runlore.cli", "project", wrong, "--data-dir", str(data.root)],
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )
        assert done.returncode == 2, (wrong, done.stderr)
