"""A folder whose log.db is gone or older than the rest: which files tell how far it went, and what the stream has.

log.db is never recreated silently: the stream may have lost what only log.db still had. It is copied again without
asking only if the stream holds everything that the view knew. An older log.db beside an older stream is refused: the
positions behind their end had events once, and would be given to others.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import NamedTuple

from nats.aio.client import Client as NatsConnection

from runlore.projector.archiving.archive import ArchiveReader
from runlore.projector.logs import get_log
from runlore.projector.views.generations import view_files
from runlore.schemas.errors import CorruptLogError, NotFoundError
from runlore.store.folder import DataDir
from runlore.store.log_rows import LogRow
from runlore.store.private_files import read_struct
from runlore.store.records import LastVerify, ProjectorStatus
from runlore.store.sqlite import open_reader, sqlite
from runlore.wire.headers import event_id_of
from runlore.wire.stream import StreamInfo, get_message, stream_info

_STATE = """SELECT epoch, position, event_id, event_hash,
    EXISTS (SELECT 1 FROM events e WHERE e.position = s.position AND e.event_id = s.event_id) FROM view_state s"""


class KnownView(NamedTuple):
    """The log that a view was folded from, as the view recorded it."""

    file: str
    epoch: str
    position: int
    event_id: str | None
    digest: bytes
    sure: bool
    """Whether it has folded an event there: a damaged file may name any position."""


class LostLog(NamedTuple):
    """A log that is missing or empty: how far it went, and the view that knows most of it."""

    path: Path
    position: int
    source: str
    """The file that recorded this position."""
    view: KnownView | None


def lost_log(data: DataDir) -> LostLog | None:
    """Return what is known of a log that is gone; None if log.db is there, or no file says that it ever was."""
    if _has_events(data.log):
        return None
    view = max(map(_known, view_files(data)), key=lambda one: one.position if one else 0, default=None)
    positions = [(view.position, view.file)] if view is not None else []
    position, source = max(positions + _positions_in_files(data), default=(0, ""))
    if position > 0:
        return LostLog(data.log, position, source, view)
    if data.checkpoint_key.exists():  # the projection folder was moved away, which is how a new history begins
        get_log().warning("a log was signed in this folder before, and is not here: a new one begins")
    return None


def remembered(data: DataDir, epoch: str) -> tuple[int, str]:
    """The highest position that had an event of this stream as far as the folder knows, and the file that says so."""
    views = [one for one in map(_known, view_files(data)) if one is not None and one.epoch == epoch and one.sure]
    return max([(one.position, one.file) for one in views] + _positions_in_files(data), default=(0, ""))


def _positions_in_files(data: DataDir) -> list[tuple[int, str]]:
    """Return positions that were archived once, with the small files that name them."""
    positions: list[tuple[int, str]] = []
    if (status := read_struct(data.status, ProjectorStatus)) is not None:
        positions.append((status.archived, data.status.name))
    if (verified := read_struct(data.verified, LastVerify)) is not None:
        positions.append((verified.position, data.verified.name))
    return positions


async def require_everything(connection: NatsConnection, lost: LostLog) -> None:
    """Return when the stream has everything that is known of the lost log, and say loudly that it is copied again.

    Raises CorruptLogError saying what is missing and what to do.
    """
    if (wrong := await _wrong(connection, lost)) is not None:
        raise CorruptLogError(
            f"{lost.path} is missing or empty; {lost.source} says that it went up to event {lost.position:,}. It is "
            f"not recreated from the stream, because {wrong}. Put log.db or the stream back from a backup. To begin a "
            f"new history with what the stream has, move {lost.path.parent} away"
        )
    get_log().error(
        "log.db was missing: it is copied again from the stream, which still has everything that the view knew",
        position=lost.position,
        source=lost.source,
    )


async def _wrong(connection: NatsConnection, lost: LostLog) -> str | None:
    try:
        info = await stream_info(connection)
    except NotFoundError:
        return "there is no stream"
    view = lost.view
    if view is None:
        return "no view is left that records which stream it was a copy of"
    if info.epoch != view.epoch:
        return f"this is another stream: its epoch is {info.epoch}, the view was folded from {view.epoch}"
    if info.last_seq < lost.position:
        return f"the stream ends at event {info.last_seq:,}"
    if (holes := _holes(info)) > 0:
        return f"{holes:,} messages are missing from the stream"
    found = await get_message(connection, view.position)
    if found is None:
        return f"the stream lost event {view.position:,}"
    row = LogRow(found.sequence, event_id_of(found.headers), 0, found.subject, found.payload, None)
    if (row.event_id, row.digest) != (view.event_id, view.digest):
        return f"event {view.position:,} of the stream is not the one in the view"
    return None


def _holes(info: StreamInfo) -> int:
    return info.last_seq - info.messages


def _has_events(path: Path) -> bool:
    try:
        with contextlib.closing(ArchiveReader(path)) as log:
            return log.position > 0
    except NotFoundError:
        return False
    except CorruptLogError:
        return True  # it is damaged, which opening it reports


def _known(path: Path) -> KnownView | None:
    """Return the log that a view recorded; None if it cannot be read, or an older version made it."""
    try:
        with contextlib.closing(open_reader(path)) as view:
            row = view.execute(_STATE).fetchone()
    except sqlite.DatabaseError:
        return None
    return KnownView(path.name, *row) if row is not None else None
