"""The folder of a replica: for it alone, without a log and a key, and whole wherever it was killed."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runlore.cli.checkup import check_up
from runlore.cli.restoring import Restore
from runlore.projector import rebuild_view
from runlore.projector.audit.keys import make_signer
from runlore.projector.audit.opening import open_audited
from runlore.projector.replicas.replica import Replica
from runlore.projector.snapshots.take import take_snapshot
from runlore.query import Client
from runlore.schemas import NotFoundError, Settings, SettingsError, read_settings
from runlore.store.folder import DataDir
from tests.open_servers import open_server
from tests.patience import PATIENCE
from tests.projector.nats_tools import made_events, publish_all, until
from tests.projector.service_tools import Running, running
from tests.replica.replica_tools import digest, log, replica, replica_settings


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    with open_server(tmp_path) as (_, settings):
        yield settings


def environment(settings: Settings) -> dict[str, str]:
    return {**os.environ, "RUNLORE_URL": settings.url or "", "RUNLORE_DATA_DIR": str(settings.data_dir)}


def run(settings: Settings, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "runlore.cli", *arguments]
    return subprocess.run(
        command, env=environment(settings), capture_output=True, text=True, timeout=PATIENCE, check=False
    )


def test_a_replica_never_signs_and_its_folder_is_no_projectors(settings: Settings, tmp_path: Path) -> None:
    log(settings, made_events(5))
    ours = replica_settings(settings, tmp_path)
    data = DataDir(ours.data_dir)
    with pytest.raises(SettingsError, match="RUNLORE_URL"):
        Replica(read_settings(data_dir=ours.data_dir)).run()
    assert not data.root.exists()
    with replica(settings, tmp_path) as following:
        following.folded(5)
        until(lambda: following.state.connected)
        findings = {finding.check: finding for finding in check_up(ours)}
    assert "a replica of stream" in findings["folder of"].detail
    assert "projector" not in findings
    assert findings["replica"].outcome == "ok"
    assert not data.checkpoint_key.exists()
    assert not data.log.exists()
    with pytest.raises(SettingsError, match="is a replica"):
        make_signer(data.checkpoint_key, "somebody")
    assert "is a replica" in str(Running(ours).ended())  # a projector
    with pytest.raises(NotFoundError, match="is a replica: it has a view and no log"):
        rebuild_view(data)
    with pytest.raises(NotFoundError, match="is a replica"):
        take_snapshot(ours)
    with pytest.raises(NotFoundError, match="is a replica"):
        open_audited(data.log)
    with pytest.raises(NotFoundError, match="is a replica"), Restore(ours, lambda *_: None):
        pass
    assert not data.checkpoint_key.exists()


def test_a_folder_with_a_log_or_a_key_is_not_made_a_replicas(settings: Settings, tmp_path: Path) -> None:
    log(settings, made_events(5))
    projectors = DataDir(settings.data_dir)
    beside = DataDir(replica_settings(settings, tmp_path).data_dir)
    projectors.root.rename(beside.root)
    for name in (beside.log, beside.checkpoint_key, beside.current_view()):
        with replica(settings, tmp_path) as refused:
            error = refused.ended()
        assert isinstance(error, SettingsError), error
        assert name.name in str(error) or "had a projector" in str(error)
        name.unlink() if name != beside.current_view() else None
    assert not beside.replica.exists()


def test_a_replica_that_reached_no_stream_leaves_a_folder_that_may_become_a_projectors(
    settings: Settings, tmp_path: Path
) -> None:
    nowhere = read_settings(url="nats://127.0.0.1:1", data_dir=tmp_path / "replica")
    without = replica_settings(settings, tmp_path)  # a server that has no stream yet
    for wrong in (nowhere, without):
        with running(wrong, Replica(wrong)) as waiting:
            until(lambda waiting=waiting: "connection" in waiting.state.problems)  # type: ignore[misc]
        data = DataDir(wrong.data_dir)
        assert not data.root.exists()
    with running(replica_settings(settings, tmp_path)) as projector:
        until(lambda: projector.state.connected)


def test_a_folder_whose_log_is_gone_is_not_made_a_replicas(settings: Settings, tmp_path: Path) -> None:
    """Its status.json knows of events, whose positions must not be given away again."""
    log(settings, made_events(5))
    data = DataDir(settings.data_dir)
    for path in (*data.projection.glob("view-*"), data.log, data.checkpoint_key, data.current):
        path.unlink()
    with running(settings, Replica(settings)) as refused:
        assert "had a projector" in str(refused.ended())
    assert not data.replica.exists()


def test_a_view_that_is_removed_or_damaged_is_replaced_and_readers_never_step_back(
    settings: Settings, tmp_path: Path
) -> None:
    data = DataDir(replica_settings(settings, tmp_path).data_dir)
    events = made_events(30)
    with running(settings) as projector:
        until(lambda: projector.state.connected)
        publish_all(settings, events[:20])
        projector.folded(20)
        take_snapshot(settings)
        publish_all(settings, events[20:])
        projector.folded(30)
    with replica(settings, tmp_path) as following, Client(data.root) as reader:
        following.folded(30)
        assert reader.position == 30  # it has the file open, and goes on reading it
        before = data.current_view()
        before.unlink()
        until(lambda: data.current_view() != before or reader.position < 30 or following.error)
        assert reader.position == 30
    data.current_view().write_bytes(b"damaged" * 1000)
    with replica(settings, tmp_path) as following:
        following.folded(30)
    assert digest(replica_settings(settings, tmp_path)) == digest(settings)


_KILLED_AT = """
import os, signal, sys
from importlib import import_module
from runlore.projector import run_replica
from runlore.schemas import read_settings

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

module, _, name = sys.argv[1].partition(":")
owner, *path = import_module(module), *name.split(".")
for part in path[:-1]:
    owner = getattr(owner, part)
setattr(owner, path[-1], die)
sys.exit(run_replica(read_settings()))
"""

PLACES = (
    "runlore.projector.replicas.incoming:_write",
    "runlore.projector.replicas.incoming:_check",
    "runlore.projector.replicas.incoming:View.open",
    "runlore.projector.replicas.followed_view:make_current",
    "runlore.projector.fold.fold:Fold._move",
)
"""Calls in which a replica is killed: while it fetches, before and after the view has its name, and while it folds."""


@pytest.mark.slow
def test_a_replica_killed_anywhere_begins_again_and_has_the_same_view(settings: Settings, tmp_path: Path) -> None:
    ours = replica_settings(settings, tmp_path)
    data = DataDir(ours.data_dir)
    with running(settings) as projector:
        until(lambda: projector.state.connected)
        publish_all(settings, made_events(40))
        projector.folded(40)
        take_snapshot(settings)
        publish_all(settings, made_events(10))
        projector.folded(50)
    for place in PLACES:
        command = [sys.executable, "-c", _KILLED_AT, place]
        killed = subprocess.run(command, env=environment(ours), capture_output=True, timeout=PATIENCE, check=False)
        assert killed.returncode == -signal.SIGKILL, killed.stderr
        assert data.current.exists() == (place == PLACES[-1])
    with replica(settings, tmp_path) as following:
        following.folded(50)
        until(lambda: len(list(data.projection.glob("view-*.db"))) == 1)
    assert digest(ours) == digest(settings)


@pytest.mark.slow
def test_a_replica_killed_at_random_under_load_never_steps_back(settings: Settings, tmp_path: Path) -> None:
    ours = replica_settings(settings, tmp_path)
    seen = 0
    with running(settings) as projector:
        until(lambda: projector.state.connected)
        for round_ in range(1, 16):
            publish_all(settings, made_events(300))
            projector.folded(round_ * 300 - 100)
            take_snapshot(settings)
            with subprocess.Popen(
                [sys.executable, "-m", "runlore.cli", "replica"], env=environment(ours), stderr=subprocess.DEVNULL
            ) as process:
                time.sleep(random.uniform(0.5, 3.0))
                process.kill()
            try:
                with Client(ours.data_dir) as near:
                    assert near.position >= seen
                    seen = near.position
            except NotFoundError:
                assert seen == 0
        projector.folded(15 * 300)
    with replica(settings, tmp_path) as following:
        following.folded(15 * 300)
    assert digest(ours) == digest(settings)


@pytest.mark.slow
def test_the_commands_of_snapshot_replica_and_query_service(settings: Settings, tmp_path: Path) -> None:
    log(settings, made_events(20))
    ours = replica_settings(settings, tmp_path)
    assert "up to event 20 is stored" in run(settings, "operator", "snapshot").stdout
    command = [sys.executable, "-m", "runlore.cli"]
    started = [
        subprocess.Popen([*command, *arguments], env=environment(ours), stderr=subprocess.DEVNULL)
        for arguments in (("replica", "--verify"), ("query", "serve"))
    ]
    try:
        until(lambda: DataDir(ours.data_dir).current.exists())
        with Client(settings.url) as far:
            assert until(lambda: _metadata(far)) == {"n": 19}
        shown = run(ours, "show", "run:r1", "--data-dir", str(ours.data_dir))
        assert "19" in shown.stdout
        refused = run(ours, "audit", "verify", "--data-dir", str(ours.data_dir))
        assert refused.returncode == 3
        assert "is a replica" in refused.stderr
    finally:
        for process in started:
            process.terminate()
        assert [process.wait(PATIENCE) for process in started] == [0, 0]


def _metadata(client: Client) -> dict[str, object] | None:
    try:
        return client.get("run:r1").metadata
    except (NotFoundError, ConnectionError):
        return None
