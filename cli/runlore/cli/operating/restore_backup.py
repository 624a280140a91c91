"""`runlore operator restore`: a backup as a data folder again, and the stream whole.

Nothing is deleted: a projection that is there is kept beside the restored one. A stream that is there keeps every
event. One that is gone is written from log.db; then the key signs under a new name, for under the old one it may have
signed a tree of the same size with other events after the backup.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from runlore.cli.operating.backup import CURRENT, KEY, LOG
from runlore.cli.operating.manifest import Manifest, read_manifest
from runlore.cli.restoring import Progress, Restore
from runlore.projector.archiving.archive import ArchiveReader
from runlore.projector.audit.signers import key_source
from runlore.projector.restoring.restore import RestorePlan
from runlore.schemas.errors import CorruptLogError, NotFoundError, RunloreError, StreamMismatchError
from runlore.schemas.settings import Settings
from runlore.store.access import make_folder
from runlore.store.folder import DataDir
from runlore.store.folder_shard import log_origin
from runlore.store.lock import FolderLock
from runlore.store.private_files import write_private, write_struct
from runlore.store.records import RestoredLog


class Restored(NamedTuple):
    """What a restore did."""

    manifest: Manifest
    plan: RestorePlan
    kept: Path | None
    """Where the old stream is."""
    kept_projection: Path | None


def restore_backup(settings: Settings, source: Path, skip_to: int, progress: Progress) -> Restored:
    """Restore a backup into the data folder, and the stream from it where that has lost something.

    Raises NotFoundError, CorruptLogError for a backup that is not whole, StreamMismatchError when the folder's own log
    is newer, FolderBusyError while anything runs on it.
    """
    manifest = read_manifest(source)
    data = DataDir(settings.data_dir)
    make_folder(data.root)
    with FolderLock(data.up_lock, "`runlore operator restore`"):
        kept_projection = _put_files(data, source, manifest)
    with Restore(settings, progress, skip_to) as restoring:
        plan = restoring.plan()
        kept = None
        if not plan.whole:
            _hold_signatures(data, settings, manifest)
            kept = restoring.apply(plan)
    return Restored(manifest, plan, kept, kept_projection)


def _put_files(data: DataDir, source: Path, manifest: Manifest) -> Path | None:
    kept = None
    now = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    incoming = data.root / "projection.restoring"
    shutil.rmtree(incoming, ignore_errors=True)
    incoming.mkdir(mode=0o700)
    names = [LOG, *([manifest.view, CURRENT] if manifest.view is not None else [])]
    for name in names:
        _copy(source / name, incoming / name)
    if data.projection.exists():
        with FolderLock(data.projector_lock, "`runlore operator restore`"):
            _require_older(data, manifest)
            kept = data.root / f"projection.before-restore-{now}"
            data.projection.rename(kept)
    incoming.rename(data.projection)
    if KEY in manifest.files:
        _put_key(data, (source / KEY).read_bytes(), now)
    return kept


def _require_older(data: DataDir, manifest: Manifest) -> None:
    """Raise StreamMismatchError when the folder has a log that knows more than the backup, or another one."""
    with contextlib.suppress(NotFoundError, CorruptLogError), contextlib.closing(ArchiveReader(data.log)) as log:
        if log.position and (log.epoch != manifest.epoch or log.position > manifest.position):
            other = "is another log" if log.epoch != manifest.epoch else f"has events up to {log.position:,}"
            raise StreamMismatchError(
                f"{data.log} {other}, and the backup ends at {manifest.position:,}. Nothing was changed: "
                "`runlore stream restore` needs no backup; to use the backup all the same, move that file away"
            )


def _put_key(data: DataDir, key: bytes, now: str) -> None:
    if data.checkpoint_key.exists() and data.checkpoint_key.read_bytes() != key:
        data.checkpoint_key.rename(data.root / f"checkpoint.key.before-restore-{now}")
    write_private(data.checkpoint_key, key)


def _hold_signatures(data: DataDir, settings: Settings, manifest: Manifest) -> None:
    with contextlib.suppress(
        RunloreError
    ):  # without a key nothing was signed, or the projector says that it is damaged
        key = key_source(settings).load(log_origin(data, manifest.epoch)).verifier
        write_struct(data.restored, RestoredLog(manifest.position, manifest.leaves, key.public.hex(), manifest.root))
        # A view that is made before the key is opened (it may be encrypted) asks who has signed for actors' keys.
        write_private(data.public_key, f"{key.vkey}\n".encode(), shared=True)


def _copy(source: Path, target: Path) -> None:
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with source.open("rb") as reading, os.fdopen(descriptor, "wb") as writing:
        shutil.copyfileobj(reading, writing, 1 << 20)
        writing.flush()
        os.fsync(writing.fileno())
