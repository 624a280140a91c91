"""The stream of an archive: found at every start, and never created if log.db already has events."""

from __future__ import annotations

import contextlib
from pathlib import Path

from nats.aio.client import Client as NatsConnection

from runlore.projector.archiving.archive import ArchiveReader
from runlore.projector.archiving.checks import mismatch
from runlore.schemas.errors import NotFoundError
from runlore.schemas.settings import Settings
from runlore.wire.stream import StreamInfo, ensure_stream, require_no_drift, stream_info


async def open_stream(connection: NatsConnection, settings: Settings, log: Path) -> StreamInfo:
    """The stream that the archive at `log` is a copy of; where nothing is archived yet, made if absent.

    Raises StreamMismatchError when the archive's stream is gone, is another one, or lost its tail; and what
    ensure_stream raises.
    """
    with contextlib.suppress(NotFoundError), contextlib.closing(ArchiveReader(log)) as archive:
        if archive.position > 0:
            return _reaching(await require_stream(connection, archive.epoch), archive.position)
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
