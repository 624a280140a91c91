"""The replica: one process that keeps a view up to date from the stream alone, without a log.db and without a key.

The position is the view's own, which moves with the rows. A replica never goes past a hole of the stream, as the
projector may have archived what was there: it goes on from a snapshot behind the hole.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

from nats.aio.client import Client as NatsConnection

from runlore.projector.archiving.intake import Intake
from runlore.projector.folder_service import FolderService, run_service
from runlore.projector.logs import get_log
from runlore.projector.replicas.beginning import NoSnapshotError, new_view, newest
from runlore.projector.replicas.followed_view import FollowedView, live_position
from runlore.projector.replicas.mark import claim_for_replica, leave_nothing, require_free_for_replica
from runlore.projector.replicas.second_copies import FirstCopyLostError, rows_of
from runlore.projector.replicas.stream_check import require_continuation
from runlore.projector.views.fitness import UnfitError
from runlore.schemas.errors import NotFoundError, ServerUnavailableError, SettingsError
from runlore.schemas.settings import Settings
from runlore.store.audit.actor_keys import actor_key_in
from runlore.store.audit.erasure import is_erasure
from runlore.store.log_rows import Gap, LogRow, Received
from runlore.store.private_files import read_struct, write_struct
from runlore.store.records import ReplicaMark
from runlore.wire.connect import connect
from runlore.wire.failures import NATS_ERRORS
from runlore.wire.stream import StreamInfo, require_no_drift, stream_info

WATCH_SECONDS = 1.0
SNAPSHOT_SECONDS = 5.0
"""Between two looks for a snapshot that is needed."""

FAR_POSITIONS = 200_000
"""A replica that was away for longer fetches a snapshot: folding these takes longer."""

FOLD_ROWS = 5_000
"""Rows folded at once: the loop that says that we live waits for them."""

GATHER_SECONDS = 0.05
"""Far behind, that many rows more arrive meanwhile: in larger batches an event costs less."""

Result = TypeVar("Result")


class Replica(FolderService):
    """The service over one replica's folder."""

    holder = "the replica"

    def __init__(self, settings: Settings, verify: bool = False) -> None:
        """`verify`: compute the canonical digest of each snapshot that is fetched."""
        super().__init__(settings)
        self._verify = verify
        self._made = not self._data.root.exists()
        """Whether the folder is this replica's own making."""
        self._followed: FollowedView | None = None
        self._intake: Intake | None = None
        self._seen: tuple[str | None, int] = None, 0
        """The stream and the position that readers have seen."""

    def run(self) -> None:
        """As `FolderService.run`; SettingsError without a server, before the folder is made."""
        if not self._settings.url:
            raise SettingsError("set RUNLORE_URL: a replica follows the stream of a projector in another folder")
        super().run()

    def _prepare(self) -> None:
        require_free_for_replica(self._data)

    def _begin(self) -> None:
        mark = read_struct(self._data.replica, ReplicaMark)
        self._seen = mark.epoch if mark is not None else None, self.state.known
        self.state.known = 0  # a view that starts over begins lower
        try:
            self._follow_view(FollowedView.live(self._data))
        except NotFoundError:
            pass
        except UnfitError as error:
            get_log().warning("the view is replaced", reason=str(error))

    def _interrupt(self) -> None:
        if self._intake is not None:
            self._intake.interrupt()

    def _close(self) -> None:
        self._drop_view()

    def _leave(self) -> None:
        if not self._data.replica.exists():  # no stream has answered: the folder may become a projector's
            leave_nothing(self._data, self._made)

    async def _session(self) -> None:
        connection = await connect(self._settings, "runlore replica", _on_error, self._on_closed)
        try:
            await self._stream(connection)
            claim_for_replica(self._data)
            self.state.connected = True
            self.state.problems.pop("connection", None)
            self.state.connects += 1
            beyond = 0
            while not self._stopping.is_set():
                beyond = await self._follow_stream(connection, beyond)
        finally:
            self.state.connected, self._intake = False, None
            with contextlib.suppress(*NATS_ERRORS):
                await connection.close()

    async def _stream(self, connection: NatsConnection) -> StreamInfo:
        try:
            info = await stream_info(connection)
        except NotFoundError as error:
            raise ServerUnavailableError(str(error)) from error
        require_no_drift(info)
        self.state.stream_last = info.last_seq
        return info

    async def _follow_stream(self, connection: NatsConnection, beyond: int) -> int:
        """Follow until stopped, or until this view cannot go on; the position that the next one must be behind."""
        view = await self._fitting(connection, beyond)
        if view is None:
            return 0
        try:
            await self._read(connection, view)
        except UnfitError as error:
            get_log().error("the view is replaced", reason=str(error))
            self._drop_view()
        except _MissedError as error:
            get_log().error("the stream has a hole that only a snapshot gets past", reason=str(error))
            self.state.problems["missed"] = f"{error}; a snapshot that is newer is waited for"
            return error.last
        return 0

    async def _fitting(self, connection: NatsConnection, beyond: int) -> FollowedView | None:
        """The view to go on with: ours, or a new one; None when stopped meanwhile."""
        view = self._followed
        if view is not None and not beyond and await self._goes_on(connection, view):
            if not await self._is_far(connection, view):
                return view
            with contextlib.suppress(NoSnapshotError):
                return await self._unless_stopped(self._replace(connection, view.position))
            return view
        while not self._stopping.is_set():
            try:
                return await self._unless_stopped(self._replace(connection, beyond))
            except NoSnapshotError as error:
                if self.state.problems.get("snapshot") != str(error):
                    get_log().error("waiting for a snapshot", reason=str(error))
                self.state.problems["snapshot"] = str(error)
                await self._pause(SNAPSHOT_SECONDS)
        return None

    async def _goes_on(self, connection: NatsConnection, view: FollowedView) -> bool:
        """Return whether this view is to be folded on. Raises StreamMismatchError."""
        info = await self._stream(connection)
        if info.epoch != view.epoch:
            get_log().error("the stream was replaced: starting over", before=view.epoch, now=info.epoch)
            return False
        await require_continuation(connection, info, view.view)
        return True

    async def _is_far(self, connection: NatsConnection, view: FollowedView) -> bool:
        """Return whether a snapshot is so far ahead of this view that it is there sooner."""
        if self.state.stream_last - view.position < FAR_POSITIONS:
            return False
        return await newest(connection, view.epoch) - view.position >= FAR_POSITIONS

    async def _replace(self, connection: NatsConnection, beyond: int) -> FollowedView:
        begun = await new_view(connection, self._data, await self._stream(connection), beyond, self._verify)
        with contextlib.ExitStack() as unfit:
            unfit.callback(begun.view.close)
            # Asked again: the snapshot may have events that came after the first question.
            info = await self._stream(connection)
            await require_continuation(connection, info, begun.view)
            self._drop_view()
            mark = ReplicaMark(begun.view.epoch, begun.snapshot, self._settings.shard)
            write_struct(self._data.replica, mark, shared=True)
            goal = min(self._seen_of(begun.view.epoch), info.last_seq)
            self._follow_view(view := FollowedView(self._data, begun.view, goal))
            unfit.pop_all()
        for problem in ("snapshot", "missed"):
            self.state.problems.pop(problem, None)
        return view

    def _seen_of(self, epoch: str) -> int:
        """The position of this stream that readers have seen: the file that they saw it in may be gone."""
        known, position = self._seen
        return max(position if known == epoch else 0, live_position(self._data, epoch))

    def _follow_view(self, view: FollowedView) -> None:
        self._followed = view
        self._say(view)

    def _drop_view(self) -> None:
        followed, self._followed = self._followed, None
        if followed is not None:
            followed.close()

    async def _read(self, connection: NatsConnection, view: FollowedView) -> None:
        intake = self._intake = Intake(connection, view.position)
        watch = asyncio.create_task(self._watch(connection, view))
        watch.add_done_callback(lambda _: intake.interrupt())
        self.state.fold_running = True
        get_log().info("following the stream", position=view.position)
        try:
            while not self._stopping.is_set() and (batch := await intake.batch()):
                if isinstance(batch, Gap):
                    raise _MissedError(f"the stream lost events {batch.first:,} to {batch.last:,}", batch.last)
                self.state.stream_last = max(self.state.stream_last, intake.stream_last)
                await self._fold(connection, view, batch)
                self.state.consumer_restarts += intake.take_restarts()
                if intake.stream_last - view.position > FOLD_ROWS:
                    await asyncio.sleep(GATHER_SECONDS)
                intake.resume()
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            await intake.close()
            self.state.fold_running = False
        if not watch.cancelled():
            watch.result()
        if not self._stopping.is_set():
            raise ServerUnavailableError("the connection to NATS is gone")

    async def _fold(self, connection: NatsConnection, view: FollowedView, batch: list[Received]) -> None:
        for start in range(0, len(batch), FOLD_ROWS):
            try:
                rows = await rows_of(connection, view.view, batch[start : start + FOLD_ROWS])
            except FirstCopyLostError as error:
                raise _MissedError(str(error), error.position) from error
            self._require_nothing_stated(rows)
            with self._metrics.fold_seconds.time():
                view.fold(rows)
            self.state.events_folded += len(rows)
            self.state.duplicates += sum(row.duplicate_of is not None for row in rows)
            self.state.conflicts += sum(row.conflicts for row in rows)
            self._say(view)
            view.care()
            await asyncio.sleep(0)

    def _require_nothing_stated(self, rows: Sequence[LogRow]) -> None:
        """An erasure is not folded: the view begins again with a snapshot that was made without the values. So does one
        that comes to an actor's key: whether the log's key has signed that is known beside the log only."""
        for row in rows:
            if actor_key_in(row.subject, row.payload) is not None:
                raise _MissedError(f"event {row.position:,} is about an actor's key", row.position - 1)
            if is_erasure(row.subject, row.payload):
                raise _MissedError(f"event {row.position:,} erased values from earlier events", row.position - 1)

    async def _watch(self, connection: NatsConnection, view: FollowedView) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            view.care()
            if (info := await self._stream(connection)).epoch != view.epoch:
                raise ServerUnavailableError(f"the stream was replaced: its epoch is {info.epoch}")

    def _say(self, view: FollowedView) -> None:
        self.state.archived = self.state.folded = view.position
        self.state.quarantined = view.quarantined
        if view.is_live:
            self._seen = view.epoch, view.position

    async def _unless_stopped(self, work: Coroutine[Any, Any, Result]) -> Result | None:
        """The result of some work; None when stopped before it ended."""
        doing, stopped = asyncio.ensure_future(work), asyncio.ensure_future(self._stopping.wait())
        try:
            await asyncio.wait({doing, stopped}, return_when=asyncio.FIRST_COMPLETED)
            return doing.result() if doing.done() else None
        finally:
            stopped.cancel()
            doing.cancel()
            await asyncio.gather(doing, stopped, return_exceptions=True)

    async def _on_closed(self) -> None:
        self._interrupt()


class _MissedError(Exception):
    """The stream does not hold what comes next, up to `last`."""

    def __init__(self, what: str, last: int) -> None:
        self.last = last
        super().__init__(what)


def run_replica(settings: Settings, verify: bool = False) -> int:
    """Run a replica until SIGTERM or SIGINT; the exit code."""
    return run_service(Replica(settings, verify))


async def _on_error(error: Exception) -> None:
    # Refused publishes (permissions) are told here only.
    get_log().warning("NATS reports an error", error=str(error) or type(error).__name__)
