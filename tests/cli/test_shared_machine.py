"""A machine of several users: what one logs no other reads, and what one plants no other uses."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from privileges import STRANGER, as_stranger, commons, give_away

import runlore.producer as producer
from runlore.cli.app import app
from runlore.cli.privacy_checks import check_privacy
from runlore.cli.stack import EmbeddedStack
from runlore.projector import rebuild_view
from runlore.query import Client
from runlore.schemas import EntityRef, NoteAdded, OutboxError, read_settings
from runlore.schemas.errors import FolderError, ServerUnavailableError, SettingsError
from runlore.schemas.settings import settings_environment
from runlore.store.folder import DataDir
from runlore.store.lock import FolderLock
from runlore.store.ownership import make_private_file, open_private, others_may_write
from runlore.store.page_tokens import folder_token
from runlore.store.private_files import write_struct
from runlore.store.private_folder import prepare_folder
from runlore.store.records import DashboardStatus, Endpoint
from runlore.store.sqlite import sqlite
from runlore.wire.connect import server_options
from runlore.wire.destinations import server_key
from tests.patience import PATIENCE, until
from tests.query.views import client_of

__all__ = ["commons"]

NOTE = NoteAdded((EntityRef("model", "m"),), "seen")
PLANTED = Endpoint(url="nats://127.0.0.1:9", user="eve", password="eve", pid=1)


@pytest.fixture(autouse=True)
def _open_umask() -> Iterator[None]:
    """A user who lets everybody read what he makes."""
    before = os.umask(0)
    yield
    os.umask(before)
    producer.configure(mode="disabled")


def modes(folder: Path) -> dict[str, str]:
    """What differs from 0700 for folders and 0600 for files."""
    found = {path: path.lstat().st_mode for path in (folder, *folder.rglob("*"))}
    return {
        str(path.relative_to(folder)): f"{mode:o}"
        for path, mode in found.items()
        if mode & 0o777 != (0o700 if stat.S_ISDIR(mode) else 0o600)
    }


def log_one(folder: Path) -> None:
    with producer.Producer(data_dir=folder, mode="offline") as own:
        own.emit_nowait(NOTE)


def test_a_producer_that_comes_first_makes_a_private_folder_and_leaves_the_umask_alone(tmp_path: Path) -> None:
    log_one(tmp_path / "data")
    assert (tmp_path / "data" / "outbox").is_dir()
    assert modes(tmp_path / "data") == {}
    assert os.umask(0) == 0


def test_a_run_shows_its_workers_what_is_open_in_private_files(tmp_path: Path) -> None:
    producer.configure(data_dir=tmp_path / "data", mode="offline")
    with producer.run_context("p"):
        assert list((tmp_path / "data" / "open").iterdir())
        assert modes(tmp_path / "data") == {}


def test_everything_that_the_stack_writes_is_private(tmp_path: Path) -> None:
    settings = read_settings(data_dir=tmp_path / "data")
    with EmbeddedStack(settings, print) as stack:
        assert stack.wait_ready(lambda seconds: not until(lambda: True), PATIENCE)
        with producer.Producer(settings) as own:
            own.emit_nowait(NOTE).wait(PATIENCE)
        rebuild_view(DataDir(settings.data_dir))
        assert (settings.data_dir / "nats" / "store").is_dir()
        names = [path.name for path in settings.data_dir.iterdir()]
        assert [name for name in names if not DataDir(settings.data_dir).is_part(name)] == []
        assert modes(settings.data_dir) == {}
    assert modes(settings.data_dir) == {}


@pytest.mark.parametrize("found", [0o755, 0o775])
def test_a_folder_of_an_earlier_version_is_made_private(tmp_path: Path, found: int) -> None:
    folder = tmp_path / "data"
    client_of(folder, lambda log: log.log("model:m@1", {"a": 1}), archived=True).close()
    for path in (folder, *folder.rglob("*")):
        path.chmod(found if path.is_dir() else found & 0o664)
    if others_may_write(folder.stat()):
        pytest.skip("the user of the tests shares his group with others")
    log_one(folder)  # it closes the folder, and so all of it
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    prepare_folder(read_settings(data_dir=folder))
    assert modes(folder) == {}


def test_a_folder_that_holds_other_things_too_stays_open_and_our_part_of_it_does_not(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir(mode=0o755)
    (folder / "notes.txt").write_text("for all")
    (folder / "outbox").mkdir(mode=0o755)
    folder.chmod(0o755)
    log_one(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o755
    assert modes(folder / "outbox") == {}
    assert os.access(folder / "notes.txt", os.R_OK)


def test_a_lock_that_is_a_link_is_refused_and_its_target_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    data = DataDir(tmp_path / "data")
    data.root.mkdir(mode=0o700)
    data.up_lock.symlink_to(precious)
    with pytest.raises(FolderError, match=f"{data.up_lock} is a link to {precious}"):
        FolderLock(data.up_lock, "`runlore up`").try_acquire()
    done = CliRunner().invoke(app, ["up", "--data-dir", str(data.root)])
    assert (done.exit_code, "is a link to" in done.output) == (1, True)
    assert precious.read_text() == "precious"


@pytest.mark.parametrize("kind", ["pipe", "socket folder"])
def test_what_is_no_file_is_refused_without_waiting_for_it(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "one"
    os.mkfifo(path) if kind == "pipe" else path.mkdir()
    for flags in (os.O_WRONLY | os.O_CREAT, os.O_RDONLY):
        with pytest.raises(FolderError):
            open_private(path, flags)


def test_a_file_that_others_may_write_is_not_believed(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "data")
    data.root.mkdir(mode=0o700)
    write_struct(data.endpoint, PLANTED)
    assert server_options(read_settings(data_dir=data.root))["user"] == "eve"
    data.endpoint.chmod(0o666)
    with pytest.raises(ServerUnavailableError, match=r"can be written by other users \(mode 666\).*chmod go-w"):
        server_options(read_settings(data_dir=data.root))
    with_url = read_settings(data_dir=data.root, url="nats://127.0.0.1:9")
    assert "user" not in server_options(with_url)
    assert server_key(with_url) == "127.0.0.1:9"


def plant(folder: Path) -> DataDir:
    """A data folder of somebody else, which all may use, with the address of his server."""
    data = DataDir(folder / ".runlore")
    data.outboxes.mkdir(parents=True)
    write_struct(data.endpoint, PLANTED)
    data.endpoint.chmod(0o644)
    give_away(data.root)
    for path in (data.root, data.outboxes):
        path.chmod(0o777)
    return data


def test_a_planted_folder_gets_no_event_and_is_asked_for_no_server(commons: Path) -> None:
    data = plant(commons)
    settings = read_settings(data_dir=data.root)
    with pytest.raises(OutboxError, match=r"belongs to user 12345 .*RUNLORE_TRUST_FOLDER=1"):
        log_one(data.root)
    with pytest.raises(ServerUnavailableError, match="belongs to user 12345"):
        server_options(settings)
    with pytest.raises(FolderError, match="belongs to user 12345"):
        Client(data.root).list_kinds()
    assert list(data.outboxes.iterdir()) == []
    assert not data.open_places.exists()


@pytest.mark.parametrize("command", ["log model:m a=1", "up", "projector", "rebuild", "list", "dashboard", "audit key"])
def test_every_command_refuses_a_planted_folder_in_one_sentence(commons: Path, command: str) -> None:
    data = plant(commons)
    done = CliRunner().invoke(app, command.split(), env={"RUNLORE_DATA_DIR": str(data.root)})
    assert done.exit_code == 1
    assert len(done.stderr.strip().splitlines()) == 1
    assert "belongs to user 12345" in done.stderr
    assert "RUNLORE_TRUST_FOLDER=1" in done.stderr


def test_a_program_in_a_planted_folder_hears_of_it_before_its_first_step_begins(commons: Path) -> None:
    data = plant(commons)
    script = (
        "import runlore.producer as p\n"
        "@p.step\n"
        "def train(): return 3\n"
        "with p.run_context('p'): print(train())\n"
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "RUNLORE_DATA_DIR": str(data.root)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == ""
    assert "OutboxError" in done.stderr.splitlines()[-1]
    assert "belongs to user 12345" in done.stderr.splitlines()[-1]


def test_no_key_is_put_where_others_may_write(tmp_path: Path) -> None:
    open_to_all = tmp_path / "open"
    open_to_all.mkdir(0o777)
    client_of(tmp_path / "data", lambda log: log.log("model:m", {"n": 1}), archived=True).close()
    backup = ["operator", "backup", str(open_to_all), "--data-dir", str(tmp_path / "data")]
    for words in (["witness", str(open_to_all), "--name", "example.org/w", "--show-key"], backup):
        refused = CliRunner().invoke(app, words)
        assert (refused.exit_code, "can be written by other users" in refused.stderr) == (1, True), refused.stderr
    assert list(open_to_all.iterdir()) == []


def test_who_means_it_may_use_the_folder_of_another_user(commons: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = plant(commons)
    monkeypatch.setenv("RUNLORE_TRUST_FOLDER", "1")
    settings = read_settings(data_dir=data.root)
    log_one(data.root)
    assert server_options(settings)["user"] == "eve"
    assert settings_environment(settings)["RUNLORE_TRUST_FOLDER"] == "on"
    monkeypatch.setenv("RUNLORE_TRUST_FOLDER", "perhaps")
    with pytest.raises(SettingsError, match="RUNLORE_TRUST_FOLDER='perhaps': use on or off"):
        server_options(settings)


def test_root_by_sudo_may_use_the_folder_of_who_called_it(commons: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = plant(commons)
    data.root.chmod(0o755)
    data.outboxes.chmod(0o755)
    monkeypatch.setenv("SUDO_UID", str(STRANGER))
    assert server_options(read_settings(data_dir=data.root))["user"] == "eve"
    log_one(data.root)
    with as_stranger(), pytest.raises(FolderError):
        open_private(data.root.parent, os.O_RDONLY)


def test_another_user_reads_nothing_by_default(commons: Path) -> None:
    folder = commons / "data"
    client_of(folder, lambda log: log.log("model:m@1", {"a": 1}), archived=True).close()
    prepare_folder(read_settings(data_dir=folder))
    with as_stranger():
        assert not os.access(folder, os.R_OK, effective_ids=True)
        with pytest.raises(FolderError, match="ask for access"):
            Client(folder).get("model:m@1")


def named_group() -> str:
    """A name for `grp.getgrnam`; the machine's own groups are left alone."""
    import grp

    for group in grp.getgrall():
        if group.gr_gid not in (0, STRANGER) and not group.gr_mem:
            return group.gr_name
    pytest.skip("this machine has no other group")


def test_the_members_of_a_group_read_what_is_shared_with_it_and_no_secret(commons: Path) -> None:
    import grp

    if os.geteuid() != 0:
        pytest.skip("only root becomes another user")
    folder, group = commons / "data", named_group()
    data, number = DataDir(folder), grp.getgrnam(group).gr_gid
    client_of(folder, lambda log: log.log("model:m@1", {"a": 1}), archived=True).close()
    write_struct(data.endpoint, PLANTED)
    settings = read_settings(data_dir=folder, share_with_group=group)
    prepare_folder(settings)
    log_one(folder)  # producers know nothing of it, and change nothing of it
    make_private_file(data.projection / "projector.lock")
    view = data.view(1)
    shutil.copy(view, data.view(2))  # as nobody of ours would make one
    prepare_folder(settings)
    rebuild_view(data)
    assert data.current_view() != view
    writer = sqlite.connect(data.current_view())  # as a projector that runs
    writer.execute("PRAGMA user_version = 7")
    for path in (folder, *folder.rglob("*")):
        os.chown(path, STRANGER + 1, -1)
    with as_stranger(number):
        assert Client(folder).get("model:m@1").metadata == {"a": 1}
        for secret in (data.endpoint, data.outboxes, data.projection / "projector.lock"):
            assert not os.access(secret, os.R_OK, effective_ids=True)
        with pytest.raises(OutboxError, match="belongs to"):
            log_one(folder)
        assert folder_token(data) != folder_token(data)  # for their own page: each process makes one
    with as_stranger(), pytest.raises(FolderError, match=r"belongs to user 12346 .*RUNLORE_SHARE_WITH_GROUP"):
        Client(folder).get("model:m@1")
    writer.close()
    for path in (folder, *folder.rglob("*")):
        os.chown(path, 0, -1)
    prepare_folder(read_settings(data_dir=folder))
    assert modes(folder) == {}


def test_a_group_that_is_none_is_a_wrong_setting(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="RUNLORE_SHARE_WITH_GROUP=no-such-group"):
        prepare_folder(read_settings(data_dir=tmp_path / "data", share_with_group="no-such-group"))


def doctor(folder: Path) -> dict[str, tuple[str, str, str]]:
    """Outcome, detail and advice of what doctor says of other users."""
    found = check_privacy(DataDir(folder))
    return {finding.check: (finding.outcome, finding.detail, finding.advice) for finding in found}


def test_doctor_says_what_others_can_read_and_what_to_do(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    log_one(folder)
    assert doctor(folder) == {"privacy": ("ok", "other users can neither read nor write anything", "")}
    write_struct(DataDir(folder).endpoint, PLANTED)
    DataDir(folder).endpoint.chmod(0o644)
    found = doctor(folder)
    secret = folder / "server.json"
    assert found["privacy"][0] == "ok"  # nobody gets there, now
    assert found["secret"][:2] == ("fail", f"the modes of {secret} let other users in")
    assert found["secret"][2].startswith(f"chmod 600 {secret};")
    folder.chmod(0o755)
    found = doctor(folder)
    outcome, detail, advice = found["privacy"]
    assert (outcome, str(folder) in detail) == ("warn", True)
    assert f"chmod -R go-rwx {folder}, or start `runlore up`" in advice


def test_doctor_says_what_others_can_write(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    log_one(folder)
    folder.chmod(0o777)
    outcome, detail, advice = doctor(folder)["privacy"]
    assert (outcome, detail) == ("fail", f"other users can write {folder}")
    assert "chmod -R go-w" in advice
    done = CliRunner().invoke(app, ["doctor", "--data-dir", str(folder)])
    assert "can be written by other users (mode 777)" in done.stdout


def test_doctor_of_a_shared_folder_says_with_whom_and_still_sees_what_is_not_meant(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root knows a group that it can give the folder to")
    folder, group = tmp_path / "data", named_group()
    prepare_folder(read_settings(data_dir=folder, share_with_group=group))
    assert doctor(folder) == {
        "privacy": ("ok", f"members of group {group} can read the log and the views", "")
    }  # fmt: skip
    write_struct(DataDir(folder).endpoint, PLANTED)
    DataDir(folder).endpoint.chmod(0o640)
    os.chown(DataDir(folder).endpoint, -1, folder.stat().st_gid)
    assert set(doctor(folder)) == {"secret", "privacy"}


def test_doctor_warns_of_a_page_that_every_user_of_the_machine_sees(tmp_path: Path) -> None:
    data = DataDir(tmp_path / "data")
    log_one(data.root)
    write_struct(data.dashboard, DashboardStatus(os.getpid(), "http://127.0.0.1:1", open=True))
    outcome, detail, advice = doctor(data.root)["page"]
    assert (outcome, "http://127.0.0.1:1" in detail, "--no-token" in advice) == ("warn", True, True)
    write_struct(data.dashboard, DashboardStatus(os.getpid(), "http://127.0.0.1:1"))
    assert "page" not in doctor(data.root)
