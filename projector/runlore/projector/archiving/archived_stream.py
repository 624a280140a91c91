"""The stream of an archive: found at every start, and never created if log.db already has events."""

from __future__ import annotations

import contextlib

from nats.aio.client import Client as NatsConnection

from runlore.projector.archiving.archive import ArchiveReader
from runlore.projector.archiving.checks import mismatch
from runlore.projector.archiving.lost_log import remembered
from runlore.schemas.errors import NotFoundError, StreamMismatchError
from runlore.schemas.settings import Settings
from runlore.store.folder import DataDir
from runlore.wire.stream import StreamInfo, ensure_stream, require_no_drift, stream_info


async def open_stream(connection: NatsConnection, settings: Settings, data: DataDir) -> StreamInfo:
    """The stream that the folder's log.db is a copy of; where nothing is archived yet, made if absent.

    Raises StreamMismatchError when the archive's stream is gone, is another one, lost its tail, or is older than the
    folder, as log.db is; and what ensure_stream raises.
    """
    with contextlib.suppress(NotFoundError), contextlib.closing(ArchiveReader(data.log)) as archive:
        if (position := archive.position) > 0:
            known, told_by = remembered(data, archive.epoch)  # before the stream is asked: it only grows
            info = _reaching(await require_stream(connection, archive.epoch), position)
            if info.last_seq < known:
                raise _both_older(info.last_seq, position, known, told_by)
            return info
    await ensure_stream(connection, settings)
    return await stream_info(connection)


async def require_stream(connection: NatsConnection, epoch: str | None = None) -> StreamInfo:
    """Return the stream, which must exist, have this epoch, and be configured as Runlore needs it.

    Raises StreamMismatchError, StreamDriftError, ServerUnavailableError.
    """
    try:
        info = await stream_info(connection)
    except NotFoundError:
        raise mismatch("the stream is gone: the server has none of that name") from None
    if epoch is not None and info.epoch is not None and info.epoch != epoch:
        raise mismatch(f"the stream was recreated: its epoch is {info.epoch}, log.db has {epoch}")
    require_no_drift(info)
    return info


def _reaching(info: StreamInfo, position: int) -> StreamInfo:
    if info.last_seq < position:
        raise mismatch(f"the stream lost its tail: it ends at event {info.last_seq}, log.db at event {position}")
    return info


def _both_older(stream: int, log: int, known: int, told_by: str) -> StreamMismatchError:
    return StreamMismatchError(
        f"the stream and log.db are older than this folder: they end at positions {stream:,} and {log:,}, and "
        f"{told_by} says that there were events up to {known:,}. Nothing was changed. If a newer copy of log.db or of "
        "the stream is left, put it in place. If not, `runlore stream restore --apply` lets the stream go on behind "
        "that position, so that no number means two events"
    )
