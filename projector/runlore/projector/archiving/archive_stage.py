"""The archive stage: one connection to NATS, from its checks to its end."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Callable

from nats.aio.client import Client as NatsConnection

from runlore.projector.archiving.archive import Archive, ArchiveReader
from runlore.projector.archiving.archive_service import ArchiveService
from runlore.projector.archiving.archived_stream import open_stream, require_stream
from runlore.projector.archiving.checks import check_stream
from runlore.projector.archiving.holes import trailing_gap
from runlore.projector.archiving.intake import Intake
from runlore.projector.archiving.lost_log import LostLog, lost_log, remembered, require_everything
from runlore.projector.archiving.patrol import Patrol
from runlore.projector.archiving.publishing import Publishing
from runlore.projector.database import CHECKPOINT_SECONDS, WAL_BYTES
from runlore.projector.logs import get_log
from runlore.projector.metrics import ProjectorMetrics
from runlore.projector.state import ServiceState
from runlore.schemas.errors import CorruptLogError, NotFoundError, ServerUnavailableError
from runlore.schemas.settings import Settings
from runlore.schemas.shards import Shard
from runlore.store.audit.erasure import named_in
from runlore.store.folder import DataDir
from runlore.store.log_rows import Gap, Received
from runlore.store.private_files import read_struct, write_struct
from runlore.store.records import ArchivedStream
from runlore.wire.connect import connect
from runlore.wire.destinations import server_key
from runlore.wire.failures import NATS_ERRORS
from runlore.wire.stream import StreamIdentity, StreamInfo, messages_on
from runlore.wire.stream_upkeep import upkeep

WATCH_SECONDS = 1.0
WAITING_SECONDS = 0.05
"""Between two looks while a command waits."""


class ArchiveStage:
    """Copies the stream into log.db, connection after connection. `archived` is called after each commit."""

    def __init__(
        self, settings: Settings, state: ServiceState, metrics: ProjectorMetrics, archived: Callable[[], None]
    ) -> None:
        self._settings, self._data = settings, DataDir(settings.data_dir)
        self._shard = Shard(settings.shard)
        self._state, self._metrics, self._archived = state, metrics, archived
        self._archive: Archive | None = None
        self._publishing: Publishing | None = None
        self._intake: Intake | None = None
        self._stopping = False
        self._checkpointed = time.monotonic()
        self._lost: LostLog | None = None

    def look_back(self) -> None:
        """Look for traces of a lost or longer log before status.json is overwritten: that file may be the only one."""
        self._lost = lost_log(self._data)
        if self._lost is not None:
            self._state.archived = self._lost.position
            return
        with (
            contextlib.suppress(NotFoundError, CorruptLogError),
            contextlib.closing(ArchiveReader(self._data.log)) as log,
        ):
            self._state.known = max(self._state.known, remembered(self._data, log.epoch)[0])

    def stop(self) -> None:
        """End the session after the batch in hand. Loop's thread only."""
        self._stopping = True
        self._interrupt()

    def close(self) -> None:
        """Sign the archived events, and close log.db."""
        if self._archive is None:
            return
        try:
            if self._publishing is not None:
                self._publishing.sign(due=False)
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
            self._state.problems.pop("connection", None)
            self._state.connects += 1
            get_log().info("reading the stream", position=self._state.archived)
            await self._read(connection, intake)
        finally:
            self._state.connected, self._intake = False, None
            with contextlib.suppress(*NATS_ERRORS):
                await connection.close()

    async def _checked(self, connection: NatsConnection) -> int:
        """The position to read on from, after everything that must hold does."""
        if self._archive is None and self._lost is not None:
            await require_everything(connection, self._lost)
        info = await open_stream(connection, self._settings, self._data)  # none is made beside an old log
        assert info.epoch
        identity = StreamIdentity(info.epoch, info.first_seq, info.last_seq)
        if self._archive is None:
            # Not in the loop's thread: an older log gets its tree first, and a standby takes a silent loop for hung.
            self._archive = await asyncio.to_thread(Archive.open, self._data.log, identity.epoch, self._shard)
        archive = self._archive
        if archive.position < identity.last_seq:
            statements = await messages_on(connection, self._shard.signing_subject)
            archive.expect(named_in((one.sequence, one.payload) for one in statements))
        self._state.stream_last = identity.last_seq
        self._look_after(info)
        self._say(archive)
        await check_stream(connection, identity, archive.epoch, archive.position, archive.last())
        if self._publishing is None:  # never before: a log that does not fit its stream is not signed
            publishing = Publishing(self._settings, self._state, archive)
            await publishing.begin(connection, info.replicas, info.last_seq)
            self._publishing = publishing
        self._tell_relays(archive.epoch)
        await ArchiveService(archive, info).start(connection)
        self._archived()
        return archive.position

    def _tell_relays(self, epoch: str) -> None:
        """Write which stream this folder archives: a relay sends to no other stream of this server."""
        stream = ArchivedStream(epoch, server_key(self._settings), self._shard.number)
        if read_struct(self._data.archived_stream, ArchivedStream) != stream:
            write_struct(self._data.archived_stream, stream)

    async def _read(self, connection: NatsConnection, intake: Intake) -> None:
        assert self._archive is not None
        if gap := await trailing_gap(connection, self._archive.position):
            self._store(self._archive, gap)
            intake = self._intake = Intake(connection, gap.last)
        watch = asyncio.create_task(self._watch(connection, self._archive.epoch))
        watch.add_done_callback(lambda _: intake.interrupt())
        patrol = asyncio.create_task(Patrol(self._settings, self._state).walk(connection, self._archive.position))
        publish = asyncio.create_task(self._keep_publishing(connection))
        try:
            while not self._stopping and (batch := await intake.batch()):
                self._store(self._archive, batch)
                self._state.stream_last = max(self._state.stream_last, intake.stream_last)
                self._state.consumer_restarts += intake.take_restarts()
                intake.resume()
        finally:
            watch.cancel()
            patrol.cancel()
            publish.cancel()
            await asyncio.gather(watch, patrol, publish, return_exceptions=True)
        if not watch.cancelled():
            watch.result()
        if self._stopping and self._publishing is not None:
            self._publishing.sign(due=False)
            await self._publishing.look(connection, last=True)
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
        """Check the stream's configuration repeatedly: an update may delete messages at any time.

        Check the file too: if it is removed while it is open, everything written from then on is lost with it.
        """
        while True:
            before = self._state.archived
            await asyncio.sleep(WATCH_SECONDS)
            assert self._archive is not None
            self._archive.require_in_place()
            self._bound_wal(self._archive)
            info = await require_stream(connection, epoch)
            self._state.stream_last = max(self._state.stream_last, info.last_seq)
            self._look_after(info)
            self._sign()
            if before == self._state.archived < info.last_seq and await trailing_gap(connection, before):
                raise ServerUnavailableError("the stream's last positions hold nothing: reading on after them")

    def _look_after(self, info: StreamInfo) -> None:
        """Say what an operator should do about the stream, once; health and doctor repeat it while it lasts."""
        state = self._state
        state.stream_bytes, state.stream_max_bytes = info.bytes, info.max_bytes
        found = {one.check: str(one) for one in upkeep(info, self._settings.replicas)}
        for check, text in found.items():
            if check not in state.upkeep:
                get_log().warning("the stream needs attention", what=text)
        state.upkeep = found

    def _sign(self) -> None:
        if self._publishing is not None:
            self._publishing.sign()

    async def _keep_publishing(self, connection: NatsConnection) -> None:
        assert self._publishing is not None
        while True:  # beside the watch: a target that does not answer must not hold that up
            await self._publishing.look(connection)
            await asyncio.sleep(WAITING_SECONDS if self._publishing.waiting else WATCH_SECONDS)

    def _say(self, archive: Archive) -> None:
        self._state.archived = archive.position
        self._state.duplicates, self._state.gaps = archive.duplicates, archive.gaps
        self._state.conflicts = archive.conflicts

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
