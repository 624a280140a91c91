"""Disaster recovery in docs/operations.md, step by step: what is left, what comes back, and every pairing of copies."""

from __future__ import annotations

import contextlib
import itertools
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats_tools import made_events, open_server, publish_all, until
from service_tools import Running, running

from runlore.cli.restoring import Restore
from runlore.cli.server import EmbeddedServer
from runlore.producer import Producer, drain, outbox_status
from runlore.projector.views.digest import view_digest
from runlore.schemas import CorruptLogError, EntityRef, MetadataLogged, Settings, StreamMismatchError, read_settings
from runlore.schemas.subjects import SIGNING_SUBJECT
from runlore.store.folder import DataDir
from runlore.store.sqlite import open_reader, sqlite
from tests.oracle import assert_nothing_lost_or_doubled

FIRST, ALL = 30, 50
"""Events when the older copy was made, and in all."""


@pytest.fixture(scope="module")
def lives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with ALL events, `data`, and a copy of it from when there were FIRST, `older`."""
    folder = tmp_path_factory.mktemp("lives")
    settings = read_settings({}, data_dir=folder / "data")
    rows = made_events(ALL)
    live(settings, rows[:FIRST])
    shutil.copytree(folder / "data", folder / "older")
    live(settings, rows[FIRST:])
    return folder


@pytest.fixture
def lived(lives: Path, data: DataDir, tmp_path: Path) -> DataDir:
    """This test's own copies of them."""
    shutil.copytree(lives / "data", data.root)
    data.home.unlink()  # a copy beside its original would be refused
    shutil.copytree(lives / "older", tmp_path / "older")
    return data


def live(settings: Settings, rows: list[Any], expected: int | None = None) -> None:
    """Server and projector over the folder for a while: more events come, and all are folded."""
    with serving(settings), running(settings) as service:
        until(lambda: service.state.connected or service.error)
        last = publish_all(settings, rows) if rows else expected
        assert last is not None
        service.folded(last)


@contextlib.contextmanager
def serving(settings: Settings) -> Iterator[None]:
    server = EmbeddedServer(DataDir(settings.data_dir))
    server.start()
    try:
        yield
    finally:
        server.close()


def restore(settings: Settings) -> None:
    with Restore(settings, lambda what, at, of: None) as restoring:
        restoring.apply(restoring.plan())


def what_it_knows(data: DataDir) -> tuple[Any, ...]:
    """Every event, the tree over them, and the view of them."""
    with contextlib.closing(open_reader(data.log)) as log:
        rows = log.execute("SELECT position, event_id, recorded_ns, headers, payload FROM log ORDER BY position")
        tree = log.execute("SELECT position, size, hex(range) FROM tree_state")
        return rows.fetchall(), tree.fetchall(), view_digest(data.current_view())


def test_only_log_db_is_left(settings: Settings, lived: DataDir, tmp_path: Path) -> None:
    before = what_it_knows(lived)
    new = DataDir(tmp_path / "new")
    new.projection.mkdir(parents=True)
    shutil.copy(lived.log, new.log)
    shutil.copy(lived.checkpoint_key, new.checkpoint_key)
    moved = msgspec.structs.replace(settings, data_dir=new.root)
    restore(moved)
    live(moved, [], ALL)
    assert what_it_knows(new) == before
    live(moved, made_events(1))
    with contextlib.closing(open_reader(new.log)) as log:
        assert log.execute("SELECT max(position) FROM log").fetchone() == (ALL + 1,)


def test_only_the_stream_is_left(settings: Settings, lived: DataDir, tmp_path: Path) -> None:
    before = what_it_knows(lived)
    new = DataDir(tmp_path / "new")
    new.root.mkdir()
    shutil.copytree(lived.nats, new.nats)
    moved = msgspec.structs.replace(settings, data_dir=new.root)
    live(moved, [], ALL)
    assert what_it_knows(new) == before


def test_log_db_and_stream_of_the_same_older_time_never_give_a_known_position_away_again(
    settings: Settings, lived: DataDir, tmp_path: Path
) -> None:
    for part in ("store", "log"):
        path = lived.nats / "store" if part == "store" else lived.projection
        shutil.rmtree(path)
        shutil.copytree(tmp_path / "older" / path.relative_to(lived.root), path)
    with Restore(settings, lambda what, at, of: None, skip_to=ALL) as restoring:
        restoring.apply(restoring.plan())
    live(settings, made_events(1))
    with contextlib.closing(open_reader(lived.log)) as log:
        new = log.execute("SELECT position FROM log WHERE position > ? AND subject != ?", (FIRST, SIGNING_SUBJECT))
        assert new.fetchone() in AFTER_A_STATEMENT
        assert log.execute("SELECT first, last FROM gaps").fetchall() == [(FIRST + 1, ALL)]


AFTER_A_STATEMENT = [(ALL + 1,), (ALL + 2,)]
"""Where the next event is: after a restore that lost some, the log may first state that its key has a new name."""

WHOLE, SKIPS = "restored whole", "restored up to the older copy; later positions stay empty"

REFUSED = {
    ("now", "older"): ("the stream lost its tail", WHOLE),
    ("now", "lost"): ("the stream is gone", WHOLE),
    ("older", "older"): (f"there were events up to {ALL}", SKIPS),
    ("older", "lost"): ("the stream is gone", SKIPS),
    ("lost", "older"): ("the stream ends at position 30", None),
    ("lost", "lost"): ("there is no stream", None),
}
"""What the projector says when it refuses a log.db beside a stream, and what `runlore stream restore` makes of it.
Every other pairing starts, and everything is as it was."""

QUICK = {("older", "now", "now")}
PAIRINGS = [
    pytest.param(*copies, marks=[] if copies in QUICK else [pytest.mark.slow])
    for copies in itertools.product(("now", "older", "lost"), repeat=3)
]


@pytest.mark.parametrize(("log", "stream", "view"), PAIRINGS)
def test_every_pairing_of_copies_heals_or_is_refused_with_advice_that_loses_nothing(
    settings: Settings, lived: DataDir, tmp_path: Path, log: str, stream: str, view: str
) -> None:
    """log.db, the stream and the view as they are now, from an older copy, or lost."""
    before = what_it_knows(lived)
    put_in_place(lived, DataDir(tmp_path / "older"), log, stream, view)
    refused = REFUSED.get((log, stream))
    if log == view == "lost" != stream:
        refused = "no view is left", None
    last = ALL
    if refused is not None:
        says, restored = refused
        for _ in range(2):  # a start that was refused forgets nothing
            assert_refused(settings, says)
        if restored is None:
            assert not lived.log.exists()
            return
        restore(settings)
        last = FIRST if restored == SKIPS else ALL
    live(settings, [], last)
    after = what_it_knows(lived)
    assert after == before if last == ALL else after[0][:FIRST] == before[0][:FIRST]
    assert lived.current_view() == lived.view(1 if (last, view) != (FIRST, "now") else 2)
    with serving(settings), running(settings):
        assert (publish_all(settings, made_events(1)),) in AFTER_A_STATEMENT[: 1 if last == ALL else 2]
        assert_nothing_lost_or_doubled(settings, [row[1] for row in after[0]])


def put_in_place(data: DataDir, older: DataDir, log: str, stream: str, view: str) -> None:
    """Put copies of these ages in place of what is there."""
    for files, age in (("projection/log.db*", log), ("nats/store", stream), ("projection/[vC]*", view)):
        if age != "now":
            for path in data.root.glob(files):
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        if age == "older":
            for path in older.root.glob(files):
                place = data.root / path.relative_to(older.root)
                shutil.copytree(path, place) if path.is_dir() else shutil.copy(path, place)


def assert_refused(settings: Settings, says: str) -> None:
    with serving(settings):
        error = Running(settings).ended()
    assert isinstance(error, StreamMismatchError | CorruptLogError)
    assert says in str(error)
    assert "`runlore stream restore" in str(error) or "from a backup" in str(error)


def log_some(producer: Producer, numbers: range) -> list[str]:
    """The IDs of what was logged."""
    return [producer.emit_nowait(MetadataLogged((EntityRef("run", "far"),), {"n": n})).event_id for n in numbers]


def test_the_machine_of_a_step_is_gone(settings: Settings, data: DataDir, tmp_path: Path) -> None:
    """What had left it is there; what had not is lost, and shows where a later event of the same process arrived."""
    with open_server(tmp_path) as (server, remote):
        step = msgspec.structs.replace(remote, data_dir=tmp_path / "step", flush_timeout=0.0)
        with running(remote) as service, Producer(step) as producer:
            until(lambda: service.state.connected)
            sent = log_some(producer, range(5))
            assert producer.flush(90).unsent == 0
            server.kill()
            log_some(producer, range(5, 8))
        shutil.rmtree(step.data_dir)
        server.start()
        with running(remote) as service:
            service.folded(5)
            assert_nothing_lost_or_doubled(remote, sent)


@pytest.mark.slow
def test_the_machine_of_the_server_and_of_up_is_gone(data: DataDir, tmp_path: Path) -> None:
    with open_server(tmp_path) as (server, settings):
        rows = made_events(20)
        live_there(settings, rows)
        backup, key = tmp_path / "backup.db", data.checkpoint_key.read_bytes()
        with contextlib.closing(sqlite.connect(data.log)) as log, contextlib.closing(sqlite.connect(backup)) as copy:
            log.backup(copy)
        step = msgspec.structs.replace(settings, data_dir=tmp_path / "step", flush_timeout=0.0)
        with Producer(step) as producer:
            sent = log_some(producer, range(5))
            assert producer.flush(90).unsent == 0  # on the stream, and in no archive yet: the outbox keeps them
            server.kill()
            sent += log_some(producer, range(5, 8))
        shutil.rmtree(data.root)
        shutil.rmtree(tmp_path / "nats" / "store")
        server.start()
        data.projection.mkdir(parents=True)
        shutil.copy(backup, data.log)
        data.checkpoint_key.write_bytes(key)
        with Restore(settings, lambda what, at, of: None, skip_to=25) as restoring:
            restoring.apply(restoring.plan())
        with running(settings) as service:

            def archived() -> bool:
                """The archive alone can tell that what was acknowledged is in no stream any more."""
                assert drain(step, 90).unsent == 0
                return not outbox_status(DataDir(step.data_dir))

            until(archived)
            service.folded(33)
            returned = [*(row.event_id or "" for row in rows), *sent]
            assert_nothing_lost_or_doubled(settings, returned, in_order=False)  # first what waited, then what was lost


def live_there(settings: Settings, rows: list[Any]) -> None:
    with running(settings) as service:
        until(lambda: service.state.connected)
        service.folded(publish_all(settings, rows))
