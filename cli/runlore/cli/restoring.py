"""`runlore stream restore`: from a damaged stream and log.db to a whole stream.

    <data>/restore/stream.db    copy of what the stream still holds; kept until a restore has succeeded
    <data>/restore/new/store    the whole stream, as the store of a nats-server

Nothing of the old stream is changed on the way. The embedded server's store is exchanged at the end and the old one
kept beside it; on another server the stream is backed up into the folder, deleted, and put back through the
server's own restore.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from runlore.cli.private_server import STREAMS, PrivateServer
from runlore.cli.remote_stream import RemoteStream, ask
from runlore.cli.server import find_program
from runlore.projector import stream_drift, stream_info
from runlore.projector.archiving.copy_stream import copy_stream
from runlore.projector.audit.signers import key_source
from runlore.projector.restoring.blocks import BlockWriter
from runlore.projector.restoring.restore import RestorePlan, plan_restore, restored_messages
from runlore.projector.views.generations import remove_old_views
from runlore.schemas.errors import CorruptLogError, NotFoundError, RunloreError, ServerUnavailableError
from runlore.schemas.settings import Settings
from runlore.schemas.shards import Shard
from runlore.store.audit.leaf import origin_of
from runlore.store.audit.tree import read_tree
from runlore.store.folder import DataDir
from runlore.store.folder_shard import require_own_shard
from runlore.store.lock import FolderLock
from runlore.store.private_files import read_struct, write_struct
from runlore.store.records import ProjectorStatus, RestoredLog
from runlore.store.replica_folder import no_log
from runlore.store.sqlite import open_reader, sqlite
from runlore.wire.stream import create_stream, stream_config

Progress = Callable[[str, int, int], None]
"""Hears what is done, how far, and of how much (0: unknown)."""

_ROWS = "SELECT position, event_id, recorded_ns, subject, headers, payload FROM log ORDER BY position"
_ROOM = 3
"""The copy of the stream, the new store and the check of it, each about as large as log.db."""


class Restore:
    """One restore of a data folder's stream. Enter it: it keeps every other program off the folder."""

    def __init__(self, settings: Settings, progress: Progress, skip_to: int = 0) -> None:
        self._settings, self._progress, self._skip_to = settings, progress, skip_to
        self._shard = Shard(settings.shard)
        self._data = DataDir(settings.data_dir)
        self._work = self._data.root / "restore"
        self._program = find_program(settings.nats_server)
        self._locks = contextlib.ExitStack()
        self._copy: Path | None = None

    def __enter__(self) -> Restore:
        if not self._data.log.exists():
            told = f"no log at {self._data.log}: there is nothing to restore the stream from"
            raise no_log(self._data) or NotFoundError(told)
        require_own_shard(self._settings)
        with contextlib.ExitStack() as locks:
            locks.enter_context(FolderLock(self._data.up_lock, "`runlore stream restore`"))
            locks.enter_context(FolderLock(self._data.projector_lock, "`runlore stream restore`"))
            if self._settings.url is None:
                locks.enter_context(FolderLock(self._data.nats / "server.lock", "`runlore stream restore`"))
            self._locks = locks.pop_all()
        self._work.mkdir(mode=0o700, exist_ok=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._locks.close()

    def plan(self) -> RestorePlan:
        """Copy what the stream holds, and compare it with log.db.

        Raises ServerUnavailableError when a server of RUNLORE_URL does not answer, or there is no room.
        """
        self._require_room()
        self._copy, drift = self._read_stream()
        return plan_restore(self._data.log, self._copy, self._given(), drift)

    def apply(self, plan: RestorePlan) -> Path:
        """Build the whole stream, read it back, and put it in the old one's place; where the old one is kept.

        Raises CorruptLogError when the new stream does not read back as it was written: nothing is exchanged then.
        """
        store = self._build(plan)
        if plan.last - plan.moved > max(plan.log_position, plan.last_held):
            self._note_lost_events()
        if self._settings.url is None:
            kept = self._exchange(store)
        else:
            remote = RemoteStream(self._settings, self._data.root)
            with PrivateServer(self._program, store.parent, self._settings) as private:
                kept = remote.replace(private, plan)
        shutil.rmtree(self._work)
        remove_old_views(self._data)  # a reader may have had one open, with erased values, until everything stopped
        return kept

    def _note_lost_events(self) -> None:
        """There were later events once, and the key may have signed them: the projector starts a new part then."""
        with contextlib.suppress(RunloreError), contextlib.closing(open_reader(self._data.log)) as log:
            position, epoch, stream = log.execute("SELECT position, epoch, stream FROM log_state").fetchone()
            tree = read_tree(log)[1]
            public = key_source(self._settings).load(origin_of(epoch, stream)).verifier.public.hex()
            write_struct(self._data.restored, RestoredLog(position, tree.size, public, tree.root().hex()))

    def _require_room(self) -> None:
        needed = _ROOM * (self._data.log.stat().st_size + _size(self._data.nats / "store"))
        free = shutil.disk_usage(self._work).free
        if free < needed:
            raise ServerUnavailableError(
                f"a restore needs about {needed / 1e6:,.0f} MB beside {self._work}, and {free / 1e6:,.0f} MB are "
                f"free: free some, or link {self._work} to a folder on a larger disk"
            )

    def _given(self) -> int:
        """The highest position that this folder knows of, whether its event is still there or not."""
        status = read_struct(self._data.status, ProjectorStatus)
        known = [self._skip_to]
        if status is not None:
            known += [status.archived, status.folded, status.stream_last]
        with (
            contextlib.suppress(RunloreError, sqlite.Error, OSError),  # a view that cannot be read knows nothing
            contextlib.closing(open_reader(self._data.current_view())) as view,
        ):
            known.append(int(view.execute("SELECT position FROM view_state").fetchone()[0]))
        highest: int = max(known)
        return highest

    def _read_stream(self) -> tuple[Path | None, tuple[str, ...]]:
        """A copy of what the stream holds, and what of its configuration is not ours."""
        if self._settings.url is not None:
            return self._copied(self._settings)
        old = self._data.nats / "store"
        if not (old / STREAMS / self._shard.stream).is_dir():
            return self._earlier(), ()
        # A server mends a damaged store when it starts, by cutting it: let it do that to a copy.
        folder = _emptied(self._work / "old")
        shutil.copytree(old, folder / "store")
        try:
            with PrivateServer(self._program, folder, self._settings) as private:
                return self._copied(private)
        except ServerUnavailableError as error:
            self._progress(f"the old store cannot be read ({error})", 0, 0)
            return self._earlier(), ()
        finally:
            shutil.rmtree(folder)

    def _copied(self, settings: Settings) -> tuple[Path | None, tuple[str, ...]]:
        new, copy = self._work / "reading.db", self._work / "stream.db"
        _remove_database(new)
        try:
            drift = stream_drift(ask(settings, stream_info).config)
            copy_stream(settings, new, None, lambda at, last: self._progress("reading the stream", at, last), True)
        except NotFoundError:
            return self._earlier(), ()
        _remove_database(copy)
        new.rename(copy)
        return copy, tuple(map(str, drift))

    def _earlier(self) -> Path | None:
        """The copy of a restore that did not come to its end, after it had taken the old stream away."""
        copy = self._work / "stream.db"
        return copy if copy.exists() else None

    def _build(self, plan: RestorePlan) -> Path:
        folder = _emptied(self._work / "new")
        server = PrivateServer(self._program, folder, self._settings)
        replicas = 1  # of this server; the real one's are set when it is restored there
        with server as private:
            ask(private, lambda connection: create_stream(connection, stream_config(plan.epoch, replicas, self._shard)))
        blocks = server.store / STREAMS / self._shard.stream / "msgs"
        for file in blocks.iterdir():
            file.unlink()
        self._write(blocks, plan)
        with server as private:
            self._check(private, plan)
        _sync(server.store)
        return server.store

    def _write(self, blocks: Path, plan: RestorePlan) -> None:
        with BlockWriter(blocks, self._shard.stream) as writer:
            recorded_ns = 0
            for message in restored_messages(self._data.log, self._copy, plan):
                writer.write(message)
                recorded_ns = message.recorded_ns
                if message.position % 1000 == 0:
                    self._progress("writing the stream", message.position, plan.last)
            if plan.last > plan.last_held:
                writer.skip_to(plan.last, recorded_ns)

    def _check(self, private: Settings, plan: RestorePlan) -> None:
        path = self._work / "check.db"
        _remove_database(path)
        last = copy_stream(private, path, None, lambda at, of: self._progress("checking the stream", at, of))
        expected = restored_messages(self._data.log, self._copy, plan)
        with contextlib.closing(open_reader(path)) as check:
            read = (tuple(row) for row in check.execute(_ROWS))
            same = all(ours == theirs for ours, theirs in _together(expected, read)) and last == plan.last
        _remove_database(path)
        if not same:
            raise CorruptLogError(
                "the new stream does not read back as it was written: nothing was exchanged. Report this, with the "
                "version of nats-server"
            )

    def _exchange(self, store: Path) -> Path:
        """Put a new store in the place of the embedded server's; other streams of the old one come with it."""
        old = self._data.nats / "store"
        if old.exists():
            for folder in (old / STREAMS).glob("*"):
                if folder.name != self._shard.stream:
                    shutil.copytree(folder, store / STREAMS / folder.name)
        _sync(store)
        now = dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")
        kept = self._data.nats / f"store.before-restore-{now}"
        if old.exists():
            old.rename(kept)
        shutil.move(store, old)  # the folder may be a link to another disk
        _sync_folder(self._data.nats)
        return kept


def _together(
    ours: Iterator[tuple[object, ...]], theirs: Iterator[tuple[object, ...]]
) -> Iterator[tuple[object, object]]:
    missing = object()
    for mine in ours:
        yield tuple(mine), next(theirs, missing)
    yield missing, next(theirs, missing)


def _emptied(folder: Path) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(mode=0o700)
    return folder


def _remove_database(path: Path) -> None:
    for suffix in ("", "-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def _sync(folder: Path) -> None:
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())
        else:
            _sync_folder(path)
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
