"""The page of disaster recovery in docs/operations.md, step by step: what is left, and what comes back."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats_tools import made_events, publish_all, until
from service_tools import Running, running

from runlore.cli.restoring import Restore
from runlore.cli.server import EmbeddedServer
from runlore.projector.views.digest import view_digest
from runlore.schemas import Settings, StreamMismatchError, read_settings
from runlore.store.folder import DataDir
from runlore.store.sqlite import open_reader

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
    shutil.copytree(lives / "older", tmp_path / "older")
    return data


def live(settings: Settings, rows: list[Any], expected: int | None = None) -> None:
    """Server and projector over the folder for a while: more events come, and all are folded."""
    with serving(settings), running(settings) as service:
        until(lambda: service.state.connected or service.error, 60)
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


def refuses(settings: Settings, says: str) -> None:
    with serving(settings):
        error = Running(settings).ended()
    assert isinstance(error, StreamMismatchError)
    assert says in str(error)
    assert "`runlore stream restore`" in str(error)


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


def test_an_older_log_db_catches_up_from_the_stream(settings: Settings, lived: DataDir, tmp_path: Path) -> None:
    before = what_it_knows(lived)
    shutil.rmtree(lived.projection)
    shutil.copytree(tmp_path / "older" / "projection", lived.projection)
    live(settings, [], ALL)
    assert what_it_knows(lived) == before


def test_an_older_stream_is_refused_and_restored_from_log_db(
    settings: Settings, lived: DataDir, tmp_path: Path
) -> None:
    before = what_it_knows(lived)
    shutil.rmtree(lived.nats / "store")
    shutil.copytree(tmp_path / "older" / "nats" / "store", lived.nats / "store")
    refuses(settings, "lost its tail")
    restore(settings)
    live(settings, [], ALL)
    assert what_it_knows(lived) == before


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
        assert log.execute("SELECT max(position) FROM log").fetchone() == (ALL + 1,)
        assert log.execute("SELECT first, last FROM gaps").fetchall() == [(FIRST + 1, ALL)]
