"""The shard of a data folder: the stream that its log.db is a copy of, or that a replica follows."""

from __future__ import annotations

import contextlib

from runlore.schemas.errors import FolderError, SettingsError
from runlore.schemas.settings import Settings
from runlore.schemas.shards import Shard
from runlore.store.audit.leaf import origin_of
from runlore.store.folder import DataDir
from runlore.store.private_files import read_struct
from runlore.store.records import ReplicaMark
from runlore.store.sqlite import open_reader, sqlite


def folder_shard(data: DataDir) -> Shard | None:
    """The shard whose events are in the folder; None while there are none, or this user may not read which."""
    state = _log_state(data)
    if state is not None:
        return Shard.of_stream(state[0]) if state[1] else None  # an empty log may adopt another stream
    mark = read_struct(data.replica, ReplicaMark)
    return Shard(mark.shard) if mark is not None and mark.epoch is not None else None


def log_origin(data: DataDir, epoch: str) -> str:
    """The name in checkpoints of the folder's log, whose epoch is given."""
    state = _log_state(data)
    return origin_of(epoch, state[0] if state is not None else Shard().stream)


def _log_state(data: DataDir) -> tuple[str, int] | None:
    """The stream's name and the position of log.db; None without one, or for a user who may not read it."""
    with contextlib.suppress(sqlite.Error, FolderError), contextlib.closing(open_reader(data.log)) as log:
        row: tuple[str, int] | None = log.execute("SELECT stream, position FROM log_state").fetchone()
        return row
    return None


def require_own_shard(settings: Settings) -> None:
    """Raise SettingsError where RUNLORE_SHARD is not the shard of the data folder, or has no server for it."""
    wanted, found = Shard(settings.shard), folder_shard(DataDir(settings.data_dir))
    if wanted.number and not settings.url:
        raise SettingsError(
            f"RUNLORE_SHARD={wanted.number}: the server of `runlore up` has one stream; set RUNLORE_URL to the NATS "
            "server with the others"
        )
    if found not in (None, wanted):
        raise SettingsError(
            f"RUNLORE_SHARD={wanted.number}: the folder {settings.data_dir} holds the events of {found.stream}, not of "
            f"{wanted.stream}. Set RUNLORE_SHARD={found.number}, or use another folder"
        )
