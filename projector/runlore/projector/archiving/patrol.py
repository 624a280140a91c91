"""The patrol: reads the whole stream once on every connect, and compares it with log.db.

A server that was stopped normally trusts its index when it starts again: it counts messages that it can no longer
read, and skips them silently. Only reading them all reveals that.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Sequence

from nats.aio.client import Client as NatsConnection

from runlore.projector.archiving.holes import WHAT_TO_DO, find_holes
from runlore.projector.archiving.intake import Intake
from runlore.projector.logs import get_log
from runlore.projector.state import ServiceState
from runlore.schemas.errors import ServerUnavailableError
from runlore.schemas.settings import Settings
from runlore.store.audit.erasure import is_original
from runlore.store.folder import DataDir
from runlore.store.log_rows import Gap, Received
from runlore.store.sqlite import open_reader, sqlite
from runlore.wire.connect import connect
from runlore.wire.failures import NATS_ERRORS

SHARE = 0.1
"""Share of the time spent reading; it sleeps for the rest, so that new events are not delayed."""
PAUSE_SECONDS = 0.2


_ROWS = "SELECT position, event_id, payload FROM log WHERE position BETWEEN ? AND ?"


class Patrol:
    """One round over the stream up to a position. What it finds goes into the service's state."""

    def __init__(self, settings: Settings, state: ServiceState) -> None:
        self._settings, self._state = settings, state
        self._lost = 0

    async def walk(self, connection: NatsConnection, position: int) -> None:
        """Check counts and some messages over `connection`, then every message over a separate one.

        Ends early when NATS goes away: the next connect begins again.
        """
        self._state.problems.pop("stream", None)
        if not position:
            return
        path = DataDir(self._settings.data_dir).log
        with contextlib.suppress(ServerUnavailableError), contextlib.closing(open_reader(path)) as log:
            if found := await find_holes(connection, log, position):
                self._say(found)
            await self._read_all(log, position)

    async def _read_all(self, log: sqlite.Connection, position: int) -> None:
        connection = await connect(self._settings, "runlore patrol", _ignore, _closed)
        intake = Intake(connection, 0)
        try:
            at = 0
            while at < position:
                started = time.perf_counter()
                batch = await intake.batch()
                if isinstance(batch, Gap):
                    at = batch.last
                    self._miss(log.execute(_ROWS, (batch.first, min(at, position))).fetchall())
                else:
                    at = batch[-1].position
                    self._compare(log, batch)
                await asyncio.sleep(max(PAUSE_SECONDS, (time.perf_counter() - started) * (1 / SHARE - 1)))
                intake.resume()
        finally:
            with contextlib.suppress(*NATS_ERRORS):
                await connection.close()

    def _miss(self, rows: Sequence[tuple[int, object, object]]) -> None:
        self._lost += len(rows)
        if rows:
            self._say(f"the stream lost {self._lost:,} messages that log.db has, among them event {rows[0][0]:,}")

    def _compare(self, log: sqlite.Connection, batch: Sequence[Received]) -> None:
        rows = log.execute(_ROWS, (batch[0].position, batch[-1].position))
        ours = {position: (event_id, payload) for position, event_id, payload in rows}
        for message in batch:
            mine = ours.get(message.position)
            if mine is None or mine == (message.event_id, message.payload):
                continue
            if mine[0] != message.event_id or not is_original(log, message.position, message.payload):
                self._say(f"event {message.position:,} of the stream is not the one in log.db")
                return

    def _say(self, what: str) -> None:
        if "stream" not in self._state.problems:
            get_log().error("the stream is damaged", what=what, advice=WHAT_TO_DO)
        self._state.problems["stream"] = f"{what}; {WHAT_TO_DO}"


async def _ignore(error: Exception) -> None:
    """Ignore asynchronous reports: errors that matter are raised where they happen."""


async def _closed() -> None:
    """The intake notices."""
