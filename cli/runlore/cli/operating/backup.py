"""`runlore operator backup`: log, view and signing key of a data folder, consistent while everything runs.

The stream is in it as log.db, which holds every message with its number, time, headers and bytes: a backup waits until
log.db has what the stream had when it was asked. The view is copied before the log, so that it is never ahead of it.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import time
from importlib.metadata import version
from pathlib import Path

from runlore.cli.operating.manifest import Manifest, StreamThen, described, write_manifest
from runlore.cli.remote_stream import ask
from runlore.projector import stream_info
from runlore.projector.archiving.archive import ArchiveReader
from runlore.schemas.errors import CorruptLogError, NotFoundError, RunloreError, ServerUnavailableError, SettingsError
from runlore.schemas.settings import Settings
from runlore.store.audit.tree import read_tree
from runlore.store.folder import DataDir
from runlore.store.ownership import require_own_folder
from runlore.store.private_files import read_struct, write_private, write_struct
from runlore.store.records import BackupMade, BackupsMade
from runlore.store.replica_folder import no_log
from runlore.store.sqlite import open_reader, sqlite
from runlore.wire.stream import StreamInfo

BEHIND_SECONDS = 30.0
"""How long a backup waits for the projector to archive what the stream has."""
MAX_REMEMBERED = 100
LOG, KEY, CURRENT = "log.db", "checkpoint.key", "CURRENT"


def take_backup(settings: Settings, folder: Path) -> Manifest:
    """Back up the data folder into a new or empty folder.

    Raises SettingsError when there is something in `folder`, FolderError when others may write to it, NotFoundError
    without a log, CorruptLogError when the stream is not the one that log.db is a copy of, RunloreError when log.db
    stays behind it.
    """
    data = DataDir(settings.data_dir)
    if not data.log.exists():
        raise no_log(data) or NotFoundError(f"no log at {data.log}: there is nothing to back up")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    require_own_folder(folder)
    if any(folder.iterdir()):
        raise SettingsError(f"{folder} is not empty: each backup has its own folder")
    info = _stream(settings)
    if info is not None:
        _wait_for(data, info)
    names = _copy_view(data, folder)
    _copy_database(data.log, folder / LOG)
    if data.checkpoint_key.exists():
        write_private(folder / KEY, data.checkpoint_key.read_bytes())
        names.append(KEY)
    manifest = _manifest(folder, [LOG, *names], info)
    write_manifest(folder, manifest)
    _remember(data, folder, manifest)
    return manifest


def _remember(data: DataDir, folder: Path, manifest: Manifest) -> None:
    """Note where the backup is: an erasure names those that still hold what was erased."""
    known = read_struct(data.backups, BackupsMade) or BackupsMade()
    there = [one for one in known.backups if Path(one.folder).exists() and one.folder != str(folder.absolute())]
    made = BackupMade(str(folder.absolute()), manifest.made, manifest.position)
    with contextlib.suppress(OSError):  # the backup is whole without it
        write_struct(data.backups, BackupsMade([*there[-MAX_REMEMBERED:], made]), shared=True)


def _stream(settings: Settings) -> StreamInfo | None:
    try:
        return ask(settings, stream_info)
    except (ServerUnavailableError, NotFoundError):
        return None


def _wait_for(data: DataDir, info: StreamInfo) -> None:
    """Wait until log.db has everything that the stream had."""
    late = time.monotonic() + BEHIND_SECONDS
    with contextlib.closing(ArchiveReader(data.log)) as log:
        if log.epoch != info.epoch:
            raise CorruptLogError(
                f"the stream is {info.epoch}, and log.db is a copy of {log.epoch}: nothing was written"
            )
        while log.position < info.last_seq:
            if time.monotonic() > late:
                raise RunloreError(
                    f"log.db ends at {log.position:,} and the stream at {info.last_seq:,}: start the projector, or "
                    "wait for it. Nothing was written"
                )
            time.sleep(0.05)


def _copy_view(data: DataDir, folder: Path) -> list[str]:
    try:
        view = data.current_view()
    except NotFoundError:
        return []
    try:
        _copy_database(view, folder / view.name)
    except sqlite.Error:  # another one has replaced it meanwhile; a view is made again from log.db
        (folder / view.name).unlink()
        return []
    write_private(folder / CURRENT, f"{view.name}\n".encode())
    return [view.name, CURRENT]


def _copy_database(source: Path, target: Path) -> None:
    """Copy a database as of one moment, while others write it."""
    os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    with contextlib.closing(open_reader(source)) as reader, contextlib.closing(sqlite.connect(str(target))) as copy:
        reader.backup(copy)
    descriptor = os.open(target, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _manifest(folder: Path, names: list[str], info: StreamInfo | None) -> Manifest:
    with contextlib.closing(open_reader(folder / LOG)) as log:
        position, epoch = log.execute("SELECT position, epoch FROM log_state").fetchone()
        _, tree = read_tree(log)
    for leftover in folder.glob("*-shm"):
        leftover.unlink()
    stream = None if info is None else StreamThen(info.first_seq, info.last_seq, info.messages, info.config)
    return Manifest(
        made=dt.datetime.now(dt.UTC).isoformat(timespec="seconds"),
        version=version("runlore"),
        epoch=epoch,
        position=position,
        leaves=tree.size,
        root=tree.root().hex(),
        view=next((name for name in names if name.startswith("view-")), None),
        stream=stream,
        files={name: described(folder / name) for name in names},
    )
