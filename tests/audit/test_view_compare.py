"""The view against the log's replay, and healing it."""

from __future__ import annotations

from pathlib import Path

import pytest

from runlore.projector.archiving.archive import Archive
from runlore.projector.audit.findings import Problem
from runlore.projector.audit.trail import positions_about
from runlore.projector.audit.view_compare import compare_view
from runlore.projector.views.rebuild import rebuild_view
from runlore.projector.views.view import View
from runlore.schemas import NotFoundError, parse_ref
from runlore.store.folder import DataDir
from runlore.store.log_rows import Received
from runlore.store.sqlite import sqlite
from runlore.store.view_tables import TABLES
from tests.events import EPOCH, LogBuilder
from tests.query.views import fold_live


def logged() -> LogBuilder:
    log = LogBuilder()
    for number in range(40):
        log.log(
            f"model:m{number % 3}@1",
            {"metrics": {"loss": number / 7}, "note": f"number {number} was fine", "n": number},
        )
    return log


def archive(data: DataDir, log: LogBuilder) -> None:
    stored = Archive.open(data.log, EPOCH)
    stored.append(
        [Received(row.position, row.event_id, row.recorded_ns, row.subject, b"", row.payload) for row in log.rows]
    )
    stored.close()


@pytest.fixture
def live(data: DataDir) -> DataDir:
    log = logged()
    archive(data, log)
    fold_live(data, log)
    return data


def change(data: DataDir, statement: str) -> None:
    connection = sqlite.connect(data.current_view())
    assert connection.execute(statement).rowcount >= 1
    connection.commit()
    connection.close()


def problem_of(data: DataDir) -> Problem:
    [problem] = compare_view(data)[1]
    assert problem.place == "view"
    return problem


def test_an_untouched_view_equals_the_replay(live: DataDir) -> None:
    digests, problems = compare_view(live)
    assert problems == []
    assert list(digests) == list(TABLES)


def test_a_view_that_is_behind_is_compared_up_to_its_position(data: DataDir) -> None:
    log = logged()
    archive(data, log)
    later, log.rows = log.rows[25:], log.rows[:25]
    fold_live(data, log)
    assert compare_view(data)[1] == []
    log.rows += later
    fold_live(data, log, after=25)
    assert compare_view(data)[1] == []


def test_a_flipped_byte_in_a_value_is_named_and_a_rebuild_heals_it(live: DataDir) -> None:
    content = live.current_view().read_bytes()
    at = content.index(b"number 17 was fine") + 7
    live.current_view().write_bytes(content[:at] + b"9" + content[at + 1 :])
    problem = problem_of(live)
    assert problem.table in ("history", "heads")
    assert problem.row is not None
    assert "number 97 was fine" in problem.what
    assert "number 17 was fine" in problem.what
    rebuild_view(live)
    assert compare_view(live)[1] == []


@pytest.mark.parametrize(
    ("statement", "table", "what"),
    [
        ("UPDATE history SET value = 1 WHERE position = 30 AND type = 'float'", "history", "value is 1, the log says"),
        (
            "UPDATE history SET value = CAST(value AS REAL) WHERE position = 8 AND type = 'int'",
            "history",
            "value is 7.0, the log says 7",
        ),
        ("DELETE FROM heads WHERE entity_id = 2", "heads", "missing"),
        ("INSERT INTO links VALUES (1, 'consumed', 2, 3)", "links", "not in the log's replay"),
        ("UPDATE actors SET user = 'mallory'", "actors", "user is mallory, the log says ada"),
        ("UPDATE view_state SET epoch = 'x'", "view_state", "epoch is x"),
        ("DELETE FROM mentions WHERE position = 12", "mentions", "missing"),
    ],
)
def test_a_changed_row_is_named(live: DataDir, statement: str, table: str, what: str) -> None:
    change(live, statement)
    problem = problem_of(live)
    assert problem.table == table
    assert what in problem.what
    assert problem.row


@pytest.mark.parametrize(
    ("statements", "what"),
    [
        (["DROP INDEX mentions_by_entity"], "index mentions_by_entity is missing"),
        (["DROP VIEW current_fields"], "view current_fields is missing"),
        (["DROP VIEW current_fields", "CREATE VIEW current_fields AS SELECT 1"], "view current_fields was changed"),
        (["CREATE TRIGGER t AFTER INSERT ON heads BEGIN DELETE FROM heads; END"], "trigger t is not Runlore's"),
        (["DROP TABLE mentions"], "index mentions_by_entity is missing"),
    ],
)
def test_a_changed_schema_is_named(live: DataDir, statements: list[str], what: str) -> None:
    connection = sqlite.connect(live.current_view())
    for statement in statements:
        connection.execute(statement)
    connection.commit()
    connection.close()
    assert what in problem_of(live).what


@pytest.fixture
def indexed(live: DataDir) -> DataDir:
    view = View.open(live.current_view())
    while not view.sync_search(7):
        """A few at a time, as it goes in a projector."""
    view.close()
    assert compare_view(live)[1] == []
    return live


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("UPDATE search SET text = 'forged' WHERE text LIKE 'number 3%'", "text is forged, the log says number 3"),
        ("DELETE FROM search WHERE text LIKE 'number 3%'", "missing"),
        ("DELETE FROM search_docs WHERE path_id = 0", "missing"),
        ("DELETE FROM search_state", "lost its position"),
        ("UPDATE search_content SET c1 = 'forged' WHERE c1 LIKE 'number 3%'", "text is forged"),
        ("DELETE FROM search_data WHERE id > 10", "damaged"),
    ],
)
def test_a_changed_full_text_index_is_named(indexed: DataDir, statement: str, what: str) -> None:
    change(indexed, statement)
    assert what in problem_of(indexed).what


def test_a_current_that_names_no_view_is_a_problem(live: DataDir) -> None:
    live.current_view().unlink()
    assert "names view-000001.db, which is missing" in problem_of(live).what
    live.current.write_text("nonsense")
    assert "names 'nonsense', which is not a view" in problem_of(live).what
    live.current.write_text("view-000002.db")
    (live.projection / "view-000002.db").write_bytes(b"")
    assert "view-000002.db is damaged" in problem_of(live).what


def test_a_view_ahead_of_its_log_is_a_problem(live: DataDir) -> None:
    change(live, "UPDATE view_state SET position = 99")
    assert "the log ends at event 40" in problem_of(live).what


def test_a_damaged_view_is_a_problem_and_no_traceback(live: DataDir) -> None:
    content = bytearray(live.current_view().read_bytes())
    content[4096 * 3 :] = b"\xff" * (len(content) - 4096 * 3)
    live.current_view().write_bytes(content)
    assert "damaged" in problem_of(live).what


def test_without_a_view_there_is_nothing_to_compare(data: DataDir) -> None:
    archive(data, logged())
    with pytest.raises(NotFoundError):
        compare_view(data)


def test_nothing_is_left_in_the_data_folder(live: DataDir) -> None:
    before = sorted(path.name for path in live.projection.iterdir() if not path.name.endswith(("-shm", "-wal")))
    compare_view(live)
    assert sorted(path.name for path in live.projection.iterdir() if not path.name.endswith(("-shm", "-wal"))) == before


def test_the_trail_of_an_entity_has_every_event_about_it(data: DataDir) -> None:
    log = LogBuilder()
    log.log("model:m@1", {"a": 1})
    log.log("model:m@2", {"a": 1})
    log.log(["model:m@1", "dataset:d"], {"b": 1})
    log.log("model:other@1", {"a": 1})
    log.log("model:m", {"c": 1})
    fold_live(data, log)
    about = lambda text: positions_about(data.current_view(), "default", parse_ref(text))  # noqa: E731 -- short
    assert about("model:m@1") == [1, 3]
    assert about("model:m@2") == [2, 5]
    assert about("model:m") == [1, 2, 3, 5]
    assert about("dataset:d") == [3]
    with pytest.raises(NotFoundError, match="never named"):
        about("model:none")


def test_the_trail_works_on_a_read_only_path(tmp_path: Path) -> None:
    with pytest.raises(sqlite.OperationalError):
        positions_about(tmp_path / "none.db", "default", parse_ref("model:m"))
    assert not (tmp_path / "none.db").exists()
