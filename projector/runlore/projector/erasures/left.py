"""Where erased content still is when an erasure is done, and what removes it from there."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from runlore.projector.views.generations import view_files
from runlore.store.audit.erasure import newest_executed
from runlore.store.folder import DataDir
from runlore.store.private_files import read_struct
from runlore.store.records import BackupsMade, LastSnapshot
from runlore.store.sqlite import open_reader

_STREAM = (
    "The stream still holds it: stop Runlore, run `runlore stream restore --apply`, and remove the old stream that it "
    "keeps."
)
_VIEW = (
    "An older view, with the content, is still open somewhere. The projector removes it when its reader reads again or "
    "ends, or `runlore stream restore --apply` does."
)
_OTHERS = "Out of reach: other backups, bundles, exports, and what readers and replicas outside have kept."


def what_is_left(data: DataDir, positions: Sequence[int]) -> list[str]:
    """Sentences about each place that still holds the content of these events."""
    return [_STREAM, *_views(data), *_snapshots(data), *_backups(data, positions), _OTHERS]


def snapshot_holds(data: DataDir) -> bool:
    """Return whether the last snapshot that was made here was made before the newest erasure."""
    last = read_struct(data.last_snapshot, LastSnapshot)
    if last is None:
        return False
    with contextlib.closing(open_reader(data.log)) as log:
        return last.snapshot.erased != newest_executed(log)


def _views(data: DataDir) -> Iterator[str]:
    if len(view_files(data)) > 1:
        yield _VIEW


def _snapshots(data: DataDir) -> Iterator[str]:
    if snapshot_holds(data):
        yield (
            "Snapshots for replicas still hold it: the projector is about to replace them, and so does `runlore "
            "operator snapshot`."
        )


def _backups(data: DataDir, positions: Sequence[int]) -> Iterator[str]:
    found = read_struct(data.backups, BackupsMade) or BackupsMade()
    for backup in found.backups:
        if backup.position >= min(positions) and Path(backup.folder).exists():
            yield f"The backup of {backup.made} in {backup.folder} holds it: a restore from there brings it back."
