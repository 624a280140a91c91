"""Copy a stream into a new log.db, for a machine that has no archive."""

from __future__ import annotations

import asyncio
from pathlib import Path

from nats.aio.client import Client as NatsConnection

from runlore.projector.archiving.archive import Archive
from runlore.projector.archiving.holes import trailing_gap
from runlore.projector.archiving.intake import Intake
from runlore.projector.progress import Progress
from runlore.schemas.errors import ServerUnavailableError, StreamDriftError
from runlore.schemas.settings import Settings
from runlore.schemas.shards import Shard
from runlore.store.log_rows import Gap, Received
from runlore.wire.connect import connect
from runlore.wire.stream import require_no_drift, stream_info

IDLE_SECONDS = 2.0
"""After this long without a message the stream is asked whether it has any more."""


def copy_stream(
    settings: Settings,
    path: Path,
    until: int | None = None,
    progress: Progress | None = None,
    drifted: bool = False,
) -> int:
    """Archive the stream at `settings.url` into a new log.db, up to `until` or where it ends now; the position reached.

    `drifted`: also one whose configuration is no longer ours. Raises ServerUnavailableError when nobody answers or the
    connection is lost, NotFoundError when there is no such stream, StreamDriftError when its configuration
    may have deleted events.
    """
    return asyncio.run(_copy(settings, path, until, progress, drifted))


async def _copy(settings: Settings, path: Path, until: int | None, progress: Progress | None, drifted: bool) -> int:
    closed = asyncio.Event()

    async def on_closed() -> None:
        closed.set()

    connection = await connect(settings, "runlore replay", _ignore, on_closed)
    try:
        info = await stream_info(connection)
        if not drifted:
            require_no_drift(info)
        if info.epoch is None:
            raise StreamDriftError("the stream has no epoch: it was not made by Runlore")
        last = info.last_seq if until is None else min(until, info.last_seq)
        archive = Archive.open(path, info.epoch, Shard(settings.shard))
        try:
            intake = Intake(connection, archive.position)
            while archive.position < last:
                batch = await _next(intake, connection, archive.position)
                if closed.is_set() or not batch:
                    raise ServerUnavailableError(f"the connection to NATS was lost after event {archive.position}")
                if isinstance(batch, Gap):
                    archive.record_gap(batch.first, min(batch.last, last), batch.reason)
                else:
                    archive.append([message for message in batch if message.position <= last])
                if progress is not None:
                    progress(archive.position, last)
                intake.resume()
            return archive.position
        finally:
            archive.close()
    finally:
        await connection.close()


async def _next(intake: Intake, connection: NatsConnection, position: int) -> list[Received] | Gap:
    """Return the next messages, or a Gap up to the end if there are none."""
    waiting = asyncio.ensure_future(intake.batch())
    try:
        while not (await asyncio.wait({waiting}, timeout=IDLE_SECONDS))[0]:
            if gap := await trailing_gap(connection, position):
                return gap
        return waiting.result()
    finally:
        waiting.cancel()


async def _ignore(error: Exception) -> None:
    """Ignore nats-py's asynchronous reports: errors that matter are raised where they happen."""
