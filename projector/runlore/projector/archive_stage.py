"""The archive stage: one connection to NATS, from its checks to its end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

import nats.errors
from nats.aio.client import Client as NatsConnection

from runlore.projector.archive import Archive, Gap, Received
from runlore.projector.archive_service import ArchiveService
from runlore.projector.archived_stream import open_stream, require_stream
from runlore.projector.audit.signing import CheckpointWriter
from runlore.projector.checks import check_stream
from runlore.projector.intake import Intake
from runlore.projector.logs import get_log
from runlore.projector.metrics import Metrics
from runlore.projector.state import ServiceState
from runlore.projector.stream import StreamIdentity
from runlore.schemas.destinations import server_key
from runlore.schemas.errors import ServerUnavailableError
from runlore.schemas.layout import ArchivedStream, DataDir, read_struct, write_struct
from runlore.schemas.settings import Settings
from runlore.schemas.transport import connect

WATCH_SECONDS = 1.0
WAL_BYTES = 256 * 1024 * 1024
"""A write-ahead log above this size (a reader held it) is emptied by force, once in a while."""

CHECKPOINT_SECONDS = 30.0


class ArchiveStage:
    """Copies the stream into log.db, connection after connection. `archived` is called after each commit."""

    def __init__(self, settings: Settings, state: ServiceState, metrics: Metrics, archived: Callable[[], None]) -> None:
        self._settings, self._data = settings, DataDir(settings.data_dir)
        self._state, self._metrics, self._archived = state, metrics, archived
        self._archive: Archive | None = None
        self._checkpoints: CheckpointWriter | None = None
        self._intake: Intake | None = None
        self._stopping = False
        self._checkpointed = time.monotonic()

    def stop(self) -> None:
        """End the session after the batch in hand. Loop's thread only."""
        self._stopping = True
        self._interrupt()

    def close(self) -> None:
        """Sign what is archived, and close log.db."""
        if self._archive is None:
            return
        try:
            if self._checkpoints is not None:
                self._checkpoints.sign()
        finally:
            self._archive.checkpoint()
            self._archive.close()

    async def session(self) -> None:
        """Connect, check, and read until stopped.

        Raises ServerUnavailableError when the connection is lost: call again. StreamMismatchError,
        StreamDriftError and CorruptLogError are for good, as are errors of the machine.
        """
        connection = await connect(self._settings, "runlore projector", _on_error, self._on_closed)
        try:
            intake = self._intake = Intake(connection, await self._checked(connection))
            self._state.connected = True
            self._state.connects += 1
            get_log().info("reading the stream", position=self._state.archived)
            await self._read(connection, intake)
        finally:
            self._state.connected, self._intake = False, None
            with contextlib.suppress(nats.errors.Error, OSError):
                await connection.close()

    async def _checked(self, connection: NatsConnection) -> int:
        """The position to read on from, after everything that must hold does."""
        info = await open_stream(connection, self._settings, self._data.log)  # none is made beside an old log
        assert info.epoch
        identity = StreamIdentity(info.epoch, info.first_seq, info.last_seq)
        if self._archive is None:
            self._archive = Archive.open(self._data.log, identity.epoch)
        archive = self._archive
        self._state.stream_last = identity.last_seq
        self._say(archive)
        await check_stream(connection, identity, archive.epoch, archive.position, archive.last())
        if self._checkpoints is None:  # never before: a log that does not fit its stream is not signed
            self._checkpoints = CheckpointWriter(archive, self._data.checkpoint_key)
        self._tell_relays(archive.epoch)
        await ArchiveService(archive, info).start(connection)
        self._archived()
        return archive.position

    def _tell_relays(self, epoch: str) -> None:
        """Say in the folder which stream its events are archived from: a relay sends to no other of this server."""
        said = ArchivedStream(epoch, server_key(self._settings))
        if read_struct(self._data.archived_stream, ArchivedStream) != said:
            write_struct(self._data.archived_stream, said)

    async def _read(self, connection: NatsConnection, intake: Intake) -> None:
        assert self._archive is not None
        watch = asyncio.create_task(self._watch(connection, self._archive.epoch))
        watch.add_done_callback(lambda _: intake.interrupt())
        try:
            while not self._stopping and (batch := await intake.batch()):
                self._store(self._archive, batch)
                self._state.stream_last = max(self._state.stream_last, intake.stream_last)
                self._state.consumer_restarts += intake.take_restarts()
                intake.resume()
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
        if not watch.cancelled():
            watch.result()
        if not self._stopping:
            raise ServerUnavailableError("the connection to NATS is gone")

    def _store(self, archive: Archive, batch: list[Received] | Gap) -> None:
        if isinstance(batch, Gap):
            archive.record_gap(*batch)
            get_log().error("the stream has a hole", first=batch.first, last=batch.last, reason=batch.reason)
        else:
            with self._metrics.archive_seconds.time():
                archive.append(batch)
            self._state.events_archived += len(batch)
        self._say(archive)
        self._archived()
        self._sign()
        self._bound_wal(archive)

    async def _watch(self, connection: NatsConnection, epoch: str) -> None:
        """Look at the stream's configuration again and again: an update may delete messages any time."""
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            info = await require_stream(connection, epoch)
            self._state.stream_last = max(self._state.stream_last, info.last_seq)
            self._sign()

    def _sign(self) -> None:
        if self._checkpoints is not None:
            self._checkpoints.sign_if_due()

    def _say(self, archive: Archive) -> None:
        self._state.archived = archive.position
        self._state.duplicates, self._state.gaps = archive.duplicates, archive.gaps

    def _bound_wal(self, archive: Archive) -> None:
        if time.monotonic() - self._checkpointed > CHECKPOINT_SECONDS and archive.wal_bytes() > WAL_BYTES:
            archive.checkpoint()
            self._checkpointed = time.monotonic()

    def _interrupt(self) -> None:
        if self._intake is not None:
            self._intake.interrupt()

    async def _on_closed(self) -> None:
        self._interrupt()


async def _on_error(error: Exception) -> None:
    # Refused publishes (permissions) are told here only.
    get_log().warning("NATS reports an error", error=str(error) or type(error).__name__)
