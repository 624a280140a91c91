"""A data folder that cannot be used: every command says in one sentence what is wrong and what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from privileges import as_stranger, commons, give_away, no_privileges

import runlore.producer as producer
from runlore.cli.app import app
from runlore.query import Client
from runlore.schemas import EntityRef, NoteAdded, OutboxError, SettingsError
from runlore.schemas.errors import FolderError
from runlore.store.folder import DataDir
from runlore.store.folder_home import require_no_copy
from runlore.store.sqlite import sqlite
from tests.query.views import client_of

__all__ = ["commons"]

WRITES = ("log model:m a=1", "stage model:m@1 production", "rebuild", "projector", "up")
READS = ("show model:m", "list", "search a", "audit verify", "audit key", "replay --as -", "dashboard", "outbox status")


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder with a view and a signed log, to be copied."""
    folder = tmp_path_factory.mktemp("kept") / "data"
    client_of(folder, lambda log: log.log("model:m@1", {"a": 1}), archived=True).close()
    return folder


@pytest.fixture
def folder(kept: Path, tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "copied"
    shutil.copytree(kept, path)
    yield path
    _open_up(tmp_path)
    producer.configure(mode="disabled")


def _open_up(folder: Path) -> None:
    for place, _, _ in os.walk(folder):
        Path(place).chmod(0o755)


def close(folder: Path, folders: int, files: int) -> None:
    for path in sorted((folder, *folder.rglob("*")), reverse=True):
        path.chmod(folders if path.is_dir() else files)


def run(command: str, folder: Path | str) -> Result:
    """The command as a user without privileges."""
    with no_privileges():
        return CliRunner().invoke(app, command.split(), env={"RUNLORE_DATA_DIR": str(folder)})


def check(done: Result, *says: str, codes: tuple[int, ...] = (1,)) -> None:
    """One sentence, no traceback."""
    assert isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code in codes, done.output
    lines = done.stderr.strip().splitlines()
    assert len(lines) == 1, lines
    assert all(part in done.stderr for part in says), done.stderr


@pytest.mark.parametrize("command", WRITES)
def test_a_folder_that_may_not_be_written_says_whose_it_is(folder: Path, command: str) -> None:
    says = "only while a projector runs" if "stage" in command else ""  # it looks at the view first
    close(folder, 0o500, 0o400)
    check(run(command, folder), says or "does not let its owner do this (mode 500): chmod u+rwX")
    _open_up(folder)
    give_away(folder)
    check(run(command, folder), "belongs to user 12345 (mode 755), and")


@pytest.mark.parametrize("command", [*WRITES, *READS])
def test_a_folder_that_may_not_be_looked_into_says_whose_it_is(folder: Path, command: str) -> None:
    close(folder, 0o700, 0o600)
    give_away(folder)
    check(run(command, folder), "belongs to user 12345 (mode 700)", "ask for access")


@pytest.mark.parametrize("command", [command for command in READS if "dashboard" not in command])
def test_a_view_is_read_without_write_access_while_a_writer_has_it_open(folder: Path, command: str) -> None:
    data = DataDir(folder)
    files = (data.log, data.view(1))
    writers = [sqlite.connect(str(path), isolation_level=None) for path in files]
    for writer in writers:
        writer.execute("PRAGMA application_id = 7")  # makes the shared memory
    close(folder, 0o555, 0o444)
    data.checkpoint_key.chmod(0o600)
    done = run(command, folder)
    assert done.exit_code == 0, done.output
    for writer in writers:
        writer.close()
    if command != "outbox status":
        check(run(command, folder), "only while a projector runs")


@pytest.mark.parametrize("command", [*WRITES, *READS])
def test_a_file_where_a_folder_is_needed_is_named(tmp_path: Path, command: str) -> None:
    file = tmp_path / "file"
    file.write_text("not a view")
    check(run(command, file / "below"), f"{file} is a file, where a folder is needed")
    check(run(command, file), str(file), codes=(2, 4))


@pytest.mark.parametrize("command", [command for command in WRITES if "stage" not in command])
def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, command: str) -> None:
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "not mounted")
    check(run(command, link), f"{link} is a link to {tmp_path / 'not mounted'}, which does not exist")
    check(run(command, link / "below"), f"{link} is a link to {tmp_path / 'not mounted'}, which does not exist")
    if sys.platform == "linux":
        check(run(command, "/proc/below"), "/proc/below: No such file or directory: set RUNLORE_DATA_DIR")


def test_what_a_refusal_tells_to_type_works_for_a_folder_of_any_name(tmp_path: Path) -> None:
    folder = tmp_path / "it's $HOME; data"
    folder.mkdir(mode=0o500)
    error = run("up", folder).stderr
    command = error[error.index("chmod u+rwX ") : error.index(", or set RUNLORE_DATA_DIR")]
    subprocess.run(["sh", "-c", command], check=True)
    assert folder.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("command", ["projector", "log model:m a=1"])
def test_a_folder_of_root_that_may_not_be_looked_into_says_whose_it_is(commons: Path, command: str) -> None:
    (commons / "private").mkdir(mode=0o700)
    with as_stranger():
        done = CliRunner().invoke(app, command.split(), env={"RUNLORE_DATA_DIR": str(commons / "private")})
    check(done, f"{commons / 'private'} belongs to user root (mode 700)", "ask for access")


@pytest.mark.parametrize("command", [*WRITES, *READS])
def test_a_home_that_does_not_exist_is_said(command: str) -> None:
    check(
        run(command, "~nobody-of-that-name/x"), "RUNLORE_DATA_DIR='~nobody-of-that-name/x'", "home folder", codes=(2,)
    )


@pytest.mark.parametrize("command", ["rebuild", "projector", "audit verify", "audit key", "replay --as -"])
def test_a_log_of_a_newer_version_is_left_alone(folder: Path, command: str) -> None:
    with sqlite.connect(DataDir(folder).log) as log:
        log.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('runlore_log', 'log_v9', '')"
        )
    before = DataDir(folder).log.read_bytes()
    check(run(command, folder), "written by a newer version of Runlore (log_v9)", codes=(2,))
    assert DataDir(folder).log.read_bytes() == before


@pytest.mark.parametrize("command", ["audit verify", "audit key"])
@pytest.mark.parametrize("content", ["", "garbage", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_damaged_key_says_what_to_do(folder: Path, command: str, content: str) -> None:
    DataDir(folder).checkpoint_key.write_text(content)
    check(run(command, folder), "checkpoint.key holds no key", "restore it from a backup", codes=(2,))


def test_doctor_names_a_folder_that_may_not_be_used_and_goes_on(folder: Path) -> None:
    close(folder, 0o700, 0o600)
    give_away(folder)
    done = run("doctor", folder)
    assert isinstance(done.exception, SystemExit)
    assert done.exit_code == 1
    assert "belongs to user 12345" in done.output
    assert done.stderr == ""


def test_producer_and_client_raise_errors_of_ours(folder: Path, tmp_path: Path) -> None:
    close(folder, 0o700, 0o600)
    give_away(folder)
    with no_privileges():
        with producer.Producer(data_dir=folder, mode="offline") as own, pytest.raises(OutboxError, match="belongs to"):
            own.emit_nowait(NoteAdded((EntityRef("model", "m"),), "seen"))
        with pytest.raises(FolderError, match="belongs to"):
            Client(folder).get("model:m")
    with pytest.raises(SettingsError, match="home folder"):
        Client("~nobody-of-that-name/x")
    with pytest.raises(SettingsError, match="home folder"):
        producer.Producer(data_dir="~nobody-of-that-name/x")


def test_a_copy_is_noticed_also_where_the_name_of_the_folder_is_no_unicode(tmp_path: Path) -> None:
    folder, copy = tmp_path / os.fsdecode(b"\xff%20"), tmp_path / "copy"
    folder.mkdir(mode=0o700)
    require_no_copy(DataDir(folder))
    shutil.copytree(folder, copy)
    with pytest.raises(FolderError, match="is a copy of"):
        require_no_copy(DataDir(copy))
    folder.rename(tmp_path / "moved")
    require_no_copy(DataDir(copy))
