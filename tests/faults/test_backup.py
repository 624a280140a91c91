"""A backup is whole, and brings everything back on a machine that has lost everything."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from runlore.cli.operating.backup import take_backup
from runlore.cli.operating.manifest import read_manifest
from runlore.cli.operating.restore_backup import Restored, restore_backup
from runlore.cli.server import EmbeddedServer
from runlore.producer import Producer, drain
from runlore.projector import ensure_stream
from runlore.projector.audit.key_history import read_changes
from runlore.projector.audit.keys import load_signer
from runlore.projector.audit.opening import open_audited
from runlore.projector.audit.verify import verify_log
from runlore.schemas import (
    CorruptLogError,
    EntityRef,
    FolderError,
    MetadataLogged,
    RunloreError,
    Settings,
    StreamMismatchError,
    read_settings,
)
from runlore.schemas.subjects import SIGNING_SUBJECT
from runlore.store.audit.checkpoint import Checkpoint, read_checkpoint
from runlore.store.audit.leaf import origin_of
from runlore.store.folder import DataDir
from runlore.store.sqlite import open_reader
from tests.cli.stack_process import run_cli
from tests.open_servers import service_login
from tests.oracle import assert_nothing_lost_or_doubled, read_stream
from tests.patience import PATIENCE, until
from tests.projector.nats_tools import with_nats
from tests.projector.service_tools import Running, running


@contextlib.contextmanager
def serving(data: DataDir) -> Iterator[None]:
    server = EmbeddedServer(data)
    server.start()
    try:
        yield
    finally:
        server.close()


@pytest.fixture
def steps(tmp_path: Path, data: DataDir) -> Path:
    """The data folder of another machine."""
    return tmp_path / "steps"


def steps_settings(steps: Path, data: DataDir) -> Settings:
    login = service_login(data)
    return read_settings(url=login["RUNLORE_URL"], inbox_prefix=login["RUNLORE_INBOX_PREFIX"], data_dir=steps)


def emit(settings: Settings, first: int, last: int) -> list[str]:
    """The IDs of events `first` to `last`, once the stream has acknowledged them."""
    with Producer(settings) as producer:
        facts = [MetadataLogged((EntityRef("run", "r"),), {"n": number}) for number in range(first, last + 1)]
        sent = [producer.emit_nowait(fact) for fact in facts]
        assert [receipt.wait(PATIENCE) for receipt in sent] == list(range(first, last + 1))
    return [receipt.event_id for receipt in sent]


def archived(service: Running, position: int) -> None:
    until(lambda: service.state.archived >= position)
    service.folded(position)


def restored(settings: Settings, backup: Path) -> Restored:
    return restore_backup(settings, backup, 0, lambda what, at, of: None)


def signed(data: DataDir) -> int:
    with contextlib.closing(open_reader(data.log)) as log:
        return int(log.execute("SELECT coalesce(max(size), 0) FROM checkpoints").fetchone()[0])


def assert_a_new_part_of_signatures(data: DataDir, done: Restored) -> None:
    """Under the old name trees of more leaves may have been signed, of other events: it signs none again."""
    old = load_signer(data.checkpoint_key, origin_of(done.manifest.epoch))
    with contextlib.closing(open_audited(data.log)) as log:
        [change] = read_changes(log)
        newest = log.execute("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1").fetchone()[0].decode()
    statement = change.statement
    assert (statement.reason, statement.size, statement.root.hex()) == (
        "restored", done.manifest.leaves, done.manifest.root,
    )  # fmt: skip
    assert (change.old, change.new.public) == (old.verifier, old.verifier.public)
    assert read_checkpoint(newest, [change.new]).origin == change.new.name != old.verifier.name
    assert verify_log(data.log, [old.verifier]).problems == [], "who has the old public key needs no other"
    lost = Checkpoint(old.verifier.name, done.manifest.leaves + 5, bytes(32))
    [problem] = verify_log(data.log, [old.verifier], [lost]).problems
    assert f"ends with {done.manifest.leaves} leaves in this log: it was restored then" in problem.what


@pytest.mark.slow
def test_a_destroyed_machine_comes_back_and_producers_send_what_they_keep(
    settings: Settings, data: DataDir, steps: Path, tmp_path: Path
) -> None:
    backup = tmp_path / "backup"
    with serving(data):
        with_nats(settings, lambda connection: ensure_stream(connection, settings))
        with running(settings) as service:
            sent = emit(steps_settings(steps, data), 1, 30)
            archived(service, 30)
            drain(steps_settings(steps, data), PATIENCE)
            printed = run_cli("operator", "backup", str(backup), "--data-dir", str(data.root))
            assert "everything up to event 30" in printed.stdout, printed.stderr
        sent += emit(steps_settings(steps, data), 31, 50)  # nobody archives them: they are kept
        before = read_stream(settings)
    shutil.rmtree(data.root)
    done = restored(settings, backup)
    assert (done.plan.stream_epoch, done.manifest.position, done.plan.last) == (None, 30, 30)
    with serving(data), running(settings) as service:
        drain(steps_settings(steps, data), PATIENCE)
        archived(service, 51)
        after = [row for row in read_stream(settings) if row.subject != SIGNING_SUBJECT]
        assert [(row.event_id, row.payload) for row in after] == [(row.event_id, row.payload) for row in before]
        assert_nothing_lost_or_doubled(settings, sent)
        until(lambda: signed(data) > done.manifest.leaves)
        assert "signing" not in service.state.problems
    assert_a_new_part_of_signatures(data, done)


@pytest.mark.slow
def test_an_older_log_goes_on_from_a_stream_that_is_still_there(
    settings: Settings, data: DataDir, steps: Path, tmp_path: Path
) -> None:
    backup = tmp_path / "backup"
    with serving(data):
        with_nats(settings, lambda connection: ensure_stream(connection, settings))
        with running(settings) as service:
            sent = emit(steps_settings(steps, data), 1, 10)
            archived(service, 10)
            take_backup(settings, backup)
            sent += emit(steps_settings(steps, data), 11, 20)
            archived(service, 20)
        signatures = signed(data)
    with pytest.raises(StreamMismatchError, match="has events up to 20"):
        restored(settings, backup)
    shutil.rmtree(data.projection)
    done = restored(settings, backup)
    assert (done.plan.whole, done.plan.stream_last) == (True, 20)
    with serving(data), running(settings) as service:
        archived(service, 20)
        assert_nothing_lost_or_doubled(settings, sent)
        until(lambda: signed(data) >= signatures)  # the same events, so the same tree
        assert "signing" not in service.state.problems


@pytest.fixture
def backup(settings: Settings, data: DataDir, tmp_path: Path) -> Path:
    """A backup of a folder whose server does not run."""
    with serving(data):
        with_nats(settings, lambda connection: ensure_stream(connection, settings))
        with running(settings) as service:
            emit(settings, 1, 3)
            archived(service, 3)
    take_backup(settings, tmp_path / "backup")
    return tmp_path / "backup"


def test_a_backup_that_is_not_whole_restores_nothing(backup: Path, tmp_path: Path) -> None:
    assert read_manifest(backup).stream is None
    assert {path.stat().st_mode & 0o077 for path in backup.iterdir()} == {0}
    elsewhere = read_settings(data_dir=tmp_path / "elsewhere")
    log = backup / "log.db"
    whole = log.read_bytes()
    for content, says in ((whole[:-1] + b"x", "damaged"), (whole[:-4096], "damaged"), (None, "is missing")):
        log.unlink()
        if content is not None:
            log.write_bytes(content)
        with pytest.raises(CorruptLogError, match=says):
            restored(elsewhere, backup)
        log.write_bytes(whole)
    manifest = (backup / "manifest.json").rename(backup / "later.json")
    with pytest.raises(RunloreError, match="written last"):
        restored(elsewhere, backup)
    manifest.rename(backup / "manifest.json")
    assert not (tmp_path / "elsewhere").exists()


def test_a_copy_of_a_folder_is_noticed_and_a_move_is_not(backup: Path, settings: Settings, data: DataDir) -> None:
    copy = data.root.with_name("copy")
    shutil.copytree(data.root, copy)
    for command in ("up", "projector"):
        done = run_cli(command, "--data-dir", str(copy))
        assert (done.returncode, f"is a copy of {data.root.resolve()}" in done.stderr) == (1, True), done.stderr
    moved = data.root.rename(data.root.with_name("moved"))
    with serving(DataDir(moved)), running(read_settings(data_dir=moved)) as service:
        archived(service, 3)
    shutil.rmtree(moved)
    with serving(DataDir(copy)), running(read_settings(data_dir=copy)) as service:
        archived(service, 3)  # restored by cp: the original is gone
    link = copy.with_name("link")
    link.symlink_to(copy)
    another = shutil.copytree(copy, copy.with_name("another"))
    assert isinstance(Running(read_settings(data_dir=another)).ended(), FolderError)
    with serving(DataDir(link)), running(read_settings(data_dir=link)) as service:
        archived(service, 3)
