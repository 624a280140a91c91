"""A view is disposable: whatever happens to its files, stopped or running, the projector rebuilds it and goes on."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from folders import EVENTS, append, copy_folder, folding, make_folder, some_log
from nats_tools import until
from starlette.testclient import TestClient

import runlore.producer as producer
from runlore.cli.app import app
from runlore.cli.stack import EmbeddedStack
from runlore.dashboard.app import create_app
from runlore.projector import rebuild_view
from runlore.projector.fold import fold_worker
from runlore.projector.views import look_through
from runlore.projector.views.digest import view_digest
from runlore.projector.views.generations import remove_old_views
from runlore.query import Client
from runlore.schemas import CorruptLogError, RunloreError
from runlore.store.folder import DataDir
from runlore.store.sqlite import is_damage, sqlite
from tests.events import LogBuilder
from tests.oracle import assert_nothing_lost_or_doubled

LOG = some_log()
MORE = 20


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> DataDir:
    return make_folder(tmp_path_factory.mktemp("template") / "data", LOG)


@pytest.fixture
def folder(template: DataDir, tmp_path: Path) -> DataDir:
    return copy_folder(template, tmp_path / "data")


def overwrite(path: Path, first: int, last: int | None = None, byte: bytes = b"\xa5") -> None:
    """Fill a stretch of a file in place."""
    end = path.stat().st_size if last is None else last
    with path.open("r+b") as file:
        file.seek(first)
        file.write(byte * (end - first))


def truncate(path: Path, share: float) -> None:
    with path.open("r+b") as file:
        file.truncate(int(path.stat().st_size * share))


def sql(path: Path, statement: str) -> None:
    connection = sqlite.connect(path)
    connection.execute(statement)
    connection.commit()
    connection.close()


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def another_history(data: DataDir) -> None:
    """The view of a log of the same stream, of the same length, with other events."""
    other = make_folder(data.root.parent / "other", some_log(note="of another history"))
    shutil.copy(other.current_view(), data.current_view())


def another_stream(data: DataDir) -> None:
    other = make_folder(data.root.parent / "other", LOG, epoch="another")
    shutil.copy(other.current_view(), data.current_view())


STOPPED: dict[str, Callable[[DataDir], object]] = {
    "header": lambda data: overwrite(data.current_view(), 0, 100),
    "one page": lambda data: overwrite(data.current_view(), 8192, 12288),
    "all pages but the first": lambda data: overwrite(data.current_view(), 4096),
    "truncated": lambda data: truncate(data.current_view(), 0.5),
    "truncated in a page": lambda data: truncate(data.current_view(), 0.333),
    "empty": lambda data: truncate(data.current_view(), 0),
    "deleted": lambda data: data.current_view().unlink(),
    "no database": lambda data: put(data.current_view(), b"no database, but long enough" * 500),
    "log.db in its place": lambda data: shutil.copy(data.log, data.current_view()),
    "position lost": lambda data: sql(data.current_view(), "DELETE FROM view_state"),
    "table lost": lambda data: sql(data.current_view(), "DROP TABLE heads"),
    "position set back": lambda data: sql(data.current_view(), "UPDATE view_state SET position = 100"),
    "position set ahead": lambda data: sql(data.current_view(), "UPDATE view_state SET position = 999"),
    "position negative": lambda data: sql(data.current_view(), "UPDATE view_state SET position = -5"),
    "another history": another_history,
    "another stream": another_stream,
    "older code": lambda data: sql(data.current_view(), "UPDATE view_state SET fold_version = 1"),
    "older tables": lambda data: sql(data.current_view(), "ALTER TABLE view_state DROP COLUMN event_hash"),
    "garbage as write-ahead log": lambda data: put(beside(data.current_view(), "-wal"), b"garbage" * 3000),
    "CURRENT empty": lambda data: put(data.current, b""),
    "CURRENT garbage": lambda data: put(data.current, b"garbage\n"),
    "CURRENT binary": lambda data: put(data.current, bytes(range(256)) * 100),
    "CURRENT names a missing file": lambda data: put(data.current, b"view-000077.db\n"),
    "CURRENT names log.db": lambda data: put(data.current, b"log.db\n"),
    "CURRENT names a file without a number": lambda data: put(data.current, b"view-x.db\n"),
    "CURRENT deleted": lambda data: data.current.unlink(),
    "everything but log.db deleted": lambda data: [path.unlink() for path in (data.current, data.current_view())],
}


@pytest.mark.parametrize("damage", STOPPED)
def test_a_damaged_view_is_rebuilt_at_the_next_start(
    folder: DataDir, template: DataDir, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fold_worker, "AHEAD_SECONDS", 0.1)
    STOPPED[damage](folder)
    with folding(folder) as fold:
        fold.reached(EVENTS)
    assert view_digest(folder.current_view()) == view_digest(template.current_view())
    with Client(folder.root) as client:
        assert client.get("model:m1@1").metadata["n"] == max(n for n in range(EVENTS) if n % 7 == 1)


RUNNING = {
    name: STOPPED[name]
    for name in (
        "header", "all pages but the first", "truncated", "empty", "deleted",
        "CURRENT empty", "CURRENT binary", "CURRENT names a missing file", "CURRENT deleted",
    )
} | {
    "swapped": lambda data: shutil.copy(data.log, data.root / "x").rename(data.current_view()),
    "write-ahead log deleted": lambda data: beside(data.current_view(), "-wal").unlink(),
    "shared memory deleted": lambda data: beside(data.current_view(), "-shm").unlink(),
}  # fmt: skip


@pytest.mark.parametrize("damage", RUNNING)
def test_a_view_that_is_damaged_while_it_is_folded_is_rebuilt_and_the_fold_goes_on(
    folder: DataDir, template: DataDir, damage: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(look_through, "LOOK_SECONDS", 0.1)
    log = LogBuilder()
    log.rows = list(LOG.rows)
    with folding(folder) as fold:
        fold.reached(EVENTS)
        RUNNING[damage](folder)
        until(lambda: readable(folder))
        for number in range(MORE):
            log.log("model:m1@1", {"later": number})
        append(folder, log, after=EVENTS)
        fold.reached(EVENTS + MORE)
        until(lambda: readable(folder))
        with Client(folder.root) as client:
            assert client.get("model:m1@1").metadata["later"] == MORE - 1
    live = view_digest(folder.current_view())
    assert view_digest(rebuild_view(folder).path) == live


def test_a_view_that_waits_for_its_log_is_not_rebuilt(folder: DataDir) -> None:
    """log.db is copied again from the stream: readers go on with the view they have, and the fold where it was."""
    view = folder.current_view()
    folder.log.unlink()
    half = LogBuilder()
    half.rows = LOG.rows[: EVENTS // 2]
    append(folder, half, sign=False)
    with folding(folder) as fold:
        assert readable(folder)
        append(folder, LOG, after=EVENTS // 2, sign=False)
        fold.reached(EVENTS)
    assert folder.current_view() == view


def readable(data: DataDir) -> bool:
    """Whether a new reader can read; what it gets instead must be an error of ours."""
    try:
        with Client(data.root) as client:
            return bool(client.get("model:m1@1").metadata)
    except RunloreError:
        return False


@pytest.mark.parametrize("damage", [name for name in STOPPED if name.startswith("CURRENT")] + ["deleted", "header"])
def test_the_rebuild_command_works_on_a_damaged_view(folder: DataDir, template: DataDir, damage: str) -> None:
    STOPPED[damage](folder)
    made = rebuild_view(folder)
    assert (made.differing, folder.current_view()) == (None, made.path)
    assert view_digest(made.path) == view_digest(template.current_view())
    remove_old_views(folder)
    assert [path.name for path in folder.projection.glob("view-*.db")] == [made.path.name]


def test_a_disk_that_damages_every_view_ends_in_a_sentence(folder: DataDir) -> None:
    rebuilds = look_through.Rebuilds()
    for _ in range(look_through.MOST_REBUILDS):
        rebuilds.count("it is damaged")
    with pytest.raises(CorruptLogError, match=r"rebuilt 6 times within 10 minutes.*check the disk"):
        rebuilds.count("it is damaged")


@pytest.mark.parametrize("damage", STOPPED)
def test_who_reads_a_damaged_view_gets_a_sentence(folder: DataDir, damage: str) -> None:
    STOPPED[damage](folder)
    with Client(folder.root) as client:
        for read in (
            lambda: client.position,
            lambda: client.get("model:m1@1").metadata,
            lambda: client.get("model:m1@1").history("n"),
            lambda: client.find("n >= 0"),
            lambda: client.search("word3"),
            lambda: client.quarantine(),
        ):
            with contextlib.suppress(RunloreError):  # and no raw error of SQLite or Python
                read()


def test_errors_of_the_machine_are_no_damage() -> None:
    assert not is_damage(sqlite.OperationalError("disk I/O error"))
    assert not is_damage(sqlite.OperationalError("database is locked"))
    assert is_damage(sqlite.OperationalError("no such table: heads"))


def test_a_running_stack_heals_a_deleted_view_and_a_lost_current_by_itself(stack: EmbeddedStack, data: DataDir) -> None:
    with Client(data.root) as client:
        for number, damage in enumerate(("deleted", "CURRENT binary", "CURRENT deleted")):
            client.wait_for(producer.log_metadata({"n": number}, "model:m1@1"), timeout=90)
            STOPPED[damage](data)
            receipt = producer.log_metadata({"after": damage}, "model:m1@1")
            until(lambda receipt=receipt: arrived(client, receipt))
            assert client.get("model:m1@1").metadata == {"n": number, "after": damage}
    assert stack.ready()
    assert_nothing_lost_or_doubled(stack.settings)
    assert rebuild_view(data).differing == ()


def arrived(client: Client, receipt: producer.Receipt) -> bool:
    with contextlib.suppress(RunloreError):
        return client.wait_for(receipt, timeout=1) > 0
    return False


@pytest.mark.parametrize("damage", ["header", "all pages but the first", "empty", "deleted", "CURRENT binary"])
def test_the_page_and_the_command_line_say_in_a_sentence_that_the_view_is_damaged(folder: DataDir, damage: str) -> None:
    STOPPED[damage](folder)
    with Client(folder.root) as client:
        page = TestClient(create_app(client, {"testserver"}, None, 5.0)).get("/api/v1/entity?ref=model:m1@1")
        assert page.status_code in (404, 500)
        assert "view" in page.json()["error"]
    shown = CliRunner().invoke(app, ["show", "model:m1@1", "--data-dir", str(folder.root)])
    assert shown.exit_code in (3, 4)
    assert shown.output.startswith("Error: ")
    assert len(shown.output.splitlines()) == 1
