"""Take a snapshot: a copy of the view as of one event, described, compressed, and put into the bucket.

The copy is made in one read transaction, beside the fold, which never waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
import zlib
from collections.abc import Generator, Iterator
from importlib.metadata import version
from pathlib import Path

from runlore.projector.fold import FOLD_VERSION
from runlore.projector.snapshots.shelf import Shelf, Stored
from runlore.projector.surroundings import FULL_BYTES
from runlore.projector.views.digest import ViewSnapshot
from runlore.schemas.errors import NotFoundError, RunloreError, StreamMismatchError
from runlore.schemas.settings import Settings
from runlore.store.access import make_folder
from runlore.store.audit.erasure import newest_executed
from runlore.store.audit.merkle import subtree_root
from runlore.store.audit.tree import StoredNodes, leaf_index
from runlore.store.folder import DataDir
from runlore.store.folder_shard import require_own_shard
from runlore.store.lock import FolderLock
from runlore.store.private_files import write_struct
from runlore.store.records import LastSnapshot, SnapshotInfo
from runlore.store.replica_folder import no_log
from runlore.store.sqlite import open_raw_reader, open_reader, sqlite
from runlore.store.view_tables import VIEW_SCHEMA
from runlore.wire.connect import connect
from runlore.wire.objects import CHUNK_BYTES
from runlore.wire.stream import stream_info

_READ_BYTES = 1024 * 1024
_GZIP = 16 + zlib.MAX_WBITS


def take_snapshot(settings: Settings) -> LastSnapshot:
    """Make a snapshot of the folder's live view and store it; the one that is stored already, if nothing is new.

    Raises NotFoundError without a view or log, FolderBusyError while another one is made, RunloreError where the disk
    has no room, StreamMismatchError when the server's stream is another one, and what the server refuses.
    """
    data, started = DataDir(settings.data_dir), time.monotonic()
    if not data.log.exists():
        told = f"no log at {data.log}: a snapshot is taken in the folder of a projector"
        raise no_log(data) or NotFoundError(told)
    require_own_shard(settings)
    with FolderLock(data.projection / "snapshot.lock", "a snapshot"), _work_folder(data) as folder:
        copy = folder / "view.db"
        _copy_view(data, copy)
        _require_nothing_erased(data, copy)
        snapshot = _described(data, copy)
        stored = asyncio.run(_store(settings, snapshot, copy))
        last = LastSnapshot(
            snapshot=stored.snapshot, stored_bytes=stored.info.size, seconds=round(time.monotonic() - started, 3)
        )
        write_struct(data.last_snapshot, last)
    return last


@contextlib.contextmanager
def _work_folder(data: DataDir) -> Generator[Path]:
    folder = data.projection / "snapshot"
    shutil.rmtree(folder, ignore_errors=True)  # of one that was killed
    make_folder(folder)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _copy_view(data: DataDir, copy: Path) -> None:
    view = data.current_view()
    try:
        _require_room(view, copy.parent)
        os.close(os.open(copy, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
        with contextlib.closing(open_reader(view)) as reader, contextlib.closing(_plain(copy)) as target:
            reader.backup(target)
            target.execute("PRAGMA journal_mode = DELETE").fetchall()  # one file, whole without a write-ahead log
    except (sqlite.Error, FileNotFoundError) as error:
        raise RunloreError(f"{view.name} could not be copied ({error}): another view may have replaced it") from error


def _plain(path: Path) -> sqlite.Connection:
    connection = sqlite.connect(str(path), isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF").fetchall()  # it is thrown away, whatever happens
    return connection


def _require_room(view: Path, folder: Path) -> None:
    needed, free = view.stat().st_size + FULL_BYTES, shutil.disk_usage(folder).free
    if free < needed:
        raise RunloreError(
            f"a snapshot needs {needed / 1e6:,.0f} MB on the disk of {folder}, and {free / 1e6:,.0f} MB are free"
        )


def _require_nothing_erased(data: DataDir, copy: Path) -> None:
    with contextlib.closing(open_reader(data.log)) as log:
        if erased_in(copy) != newest_executed(log):
            raise RunloreError("values were erased from the log, and the view is being made again: try again soon")


def erased_in(view: Path) -> int:
    """The newest erasure that a view knows, as its file notes it."""
    with contextlib.closing(open_reader(view)) as connection:
        return int(connection.execute("PRAGMA user_version").fetchone()[0])


def _described(data: DataDir, copy: Path) -> SnapshotInfo:
    with contextlib.closing(ViewSnapshot(copy)) as view:
        if view.position == 0:
            raise NotFoundError("the view has no event yet: there is nothing to take a snapshot of")
        if view.made_by != (VIEW_SCHEMA, FOLD_VERSION):
            raise RunloreError("the view was made by another version: the projector rebuilds it first")
        epoch, leaves, root = _tree_at(data, view.position)
        if view.epoch != epoch:
            raise RunloreError(f"the view was folded from stream {view.epoch}, log.db is a copy of {epoch}")
        return SnapshotInfo(
            epoch=epoch,
            position=view.position,
            fold_version=FOLD_VERSION,
            view_schema=VIEW_SCHEMA,
            leaves=leaves,
            root=root,
            view_bytes=copy.stat().st_size,
            tables=view.digest(),
            made=time.time(),
            library=version("runlore"),
            erased=erased_in(copy),
        )


def _tree_at(data: DataDir, position: int) -> tuple[str, int, str]:
    """Return the log's epoch, and size and root of its tree at a position that holds an event."""
    with contextlib.closing(open_raw_reader(data.log)) as log:
        log.execute("BEGIN")
        (epoch,) = log.execute("SELECT epoch FROM log_state").fetchone()
        leaves = leaf_index(log, position) + 1
        return epoch.decode(), leaves, subtree_root(0, leaves, StoredNodes(log)).hex()


async def _store(settings: Settings, snapshot: SnapshotInfo, copy: Path) -> Stored:
    connection = await connect(settings, "runlore snapshot", _ignore, _closed)
    try:
        info = await stream_info(connection)
        if info.epoch != snapshot.epoch:
            raise StreamMismatchError(f"the server's stream is {info.epoch}, log.db is a copy of {snapshot.epoch}")
        shelf = Shelf(connection)
        for stored in await shelf.snapshots():
            if _same(stored.snapshot, snapshot):
                return stored
        return Stored(snapshot, await shelf.put(snapshot, _compressed(copy), info.replicas))
    finally:
        await connection.close()


def _same(stored: SnapshotInfo, snapshot: SnapshotInfo) -> bool:
    return (stored.position, stored.tables, stored.erased) == (snapshot.position, snapshot.tables, snapshot.erased)


def _compressed(path: Path) -> Iterator[bytes]:
    """The file as gzip, in chunks. Level 1: the next ones take three times as long to save a tenth."""
    packer, waiting = zlib.compressobj(1, zlib.DEFLATED, _GZIP), bytearray()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            waiting += packer.compress(block)
            yield from _whole_chunks(waiting)
    waiting += packer.flush()
    yield from _whole_chunks(waiting)
    if waiting:
        yield bytes(waiting)


def _whole_chunks(waiting: bytearray) -> Iterator[bytes]:
    """Cut whole chunks from the beginning."""
    while len(waiting) >= CHUNK_BYTES:
        yield bytes(waiting[:CHUNK_BYTES])
        del waiting[:CHUNK_BYTES]


async def _ignore(error: Exception) -> None:
    """Ignore nats-py's asynchronous reports: errors that matter are raised where they happen."""


async def _closed() -> None:
    """The next request notices."""
