"""Compare the log with the stream it is a copy of."""

from __future__ import annotations

import asyncio
import contextlib
import random
import time
from typing import NamedTuple

import msgspec
from nats.aio.client import Client as NatsConnection

from runlore.projector.archiving.intake import Intake
from runlore.projector.audit.findings import Problem, StreamReport
from runlore.projector.progress import Progress
from runlore.schemas.errors import NotFoundError
from runlore.schemas.settings import Settings
from runlore.store.audit.erasure import is_original
from runlore.store.folder import DataDir
from runlore.store.log_rows import Gap, Received
from runlore.store.private_files import read_struct
from runlore.store.records import ProjectorStatus
from runlore.store.sqlite import sqlite
from runlore.wire.connect import connect
from runlore.wire.failures import NATS_ERRORS
from runlore.wire.stream import StreamInfo, get_message, next_sequence, stream_info

SAMPLE = 200
"""Messages compared unless all are."""

GRACE_SECONDS = 60.0
"""A message may wait this long to be archived by a projector that runs."""

STILL_SECONDS = 3.0
"""A projector that runs and archives nothing for this long is not catching up."""

STATUS_SECONDS = 10.0
"""A projector that runs writes its status more often."""

_ROWS = "SELECT position, subject, headers, payload FROM log WHERE position >= ? AND position <= ? ORDER BY position"
_ROW = "SELECT position, subject, headers, payload FROM log WHERE position = ?"


class _StreamRow(NamedTuple):
    position: int
    subject: bytes
    headers: bytes
    payload: bytes


class _Different(Exception):  # noqa: N818 -- an answer, not an error
    def __init__(self, position: int, what: str) -> None:
        self.problem = Problem(place="stream", position=position, what=what)
        super().__init__(what)


async def compare_stream(
    settings: Settings, log: sqlite.Connection, full: bool = False, progress: Progress | None = None
) -> tuple[StreamReport, list[Problem]]:
    """Compare counts, the bytes of a random sample (`full`: of all messages), and check messages after the log's end.

    `log`: a raw reader of log.db. Raises ServerUnavailableError when nobody answers.
    """
    connection = await connect(settings, "runlore audit", _ignore, _closed)
    try:
        status = read_struct(DataDir(settings.data_dir).status, ProjectorStatus)  # before the log: that only grows
        report, problems = await _compare(connection, log, full, progress)
        if report.not_archived and not problems:
            note, problems = await _not_archived(connection, log, report.not_archived, status)
            report = msgspec.structs.replace(report, note=note)
        return report, problems
    finally:
        with contextlib.suppress(*NATS_ERRORS):
            await connection.close()


async def _compare(
    connection: NatsConnection, log: sqlite.Connection, full: bool, progress: Progress | None
) -> tuple[StreamReport, list[Problem]]:
    position, epoch = log.execute("SELECT position, epoch FROM log_state").fetchone()
    held = int(log.execute("SELECT count(*) FROM log WHERE position <= ?", (position,)).fetchone()[0])
    try:
        info = await stream_info(connection)
    except NotFoundError as error:
        report = StreamReport(compared=0, log_messages=held, stream_messages=0)
        return report, [Problem(place="stream", what=str(error))]
    more = max(info.last_seq - position, 0)
    report = StreamReport(compared=0, log_messages=held, stream_messages=info.messages, not_archived=more)
    if problem := _counts_differ(info, position, epoch.decode(), report):
        return report, [problem]
    problems: list[Problem] = []
    try:
        compare = _compare_all if full else _compare_sample
        compared = await compare(connection, log, position, progress)
    except _Different as different:
        compared, problems = 0, [different.problem]
    return msgspec.structs.replace(report, compared=compared), problems


async def _not_archived(
    connection: NatsConnection, log: sqlite.Connection, more: int, status: ProjectorStatus | None
) -> tuple[str | None, list[Problem]]:
    """Return a note or a problem about messages after the log's end; neither if they are new and a projector runs."""
    what = f"the stream has {more:,} more that are not archived"
    position = _position(log)
    if status is not None and status.archived > position:
        what += f": the projector had archived up to {status.archived}, the log ends at {position}; it was cut, or"
        return None, [Problem(place="stream", what=f"{what} an older copy was put in its place", position=position + 1)]
    if status is None or status.stopped or time.time() - status.updated > STATUS_SECONDS:
        return f"{what}: no projector runs on this folder", []
    if not status.connected:
        return f"{what}: the projector is not connected", []
    first = await next_sequence(connection, position + 1)
    oldest = await get_message(connection, first) if first is not None else None
    # From the future: the server's clock is ahead, and how long the message has waited is not known.
    if oldest is None or abs(waiting := time.time() - oldest.recorded) <= GRACE_SECONDS:
        return None, []
    await asyncio.sleep(STILL_SECONDS)
    if _position(log) > position:
        return f"{what} yet: the projector is catching up", []
    since = f"for {waiting:,.0f} s" if waiting > 0 else "since a time that is still to come"
    what += f": the first {since}, and the projector that runs does not archive them"
    return None, [Problem(place="stream", what=what, position=first)]


def _position(log: sqlite.Connection) -> int:
    return int(log.execute("SELECT position FROM log_state").fetchone()[0])


def _counts_differ(info: StreamInfo, position: int, epoch: str, report: StreamReport) -> Problem | None:
    if info.epoch != epoch:
        return Problem(place="stream", what=f"the stream was recreated: its epoch is {info.epoch}, the log's {epoch}")
    if info.last_seq < position:
        what = f"the stream ends at event {info.last_seq}, the log at event {position}"
        return Problem(place="stream", what=what, position=info.last_seq + 1)
    # What came after the position has no holes in a stream that lost nothing.
    theirs = report.stream_messages - report.not_archived
    if theirs != report.log_messages:
        what = f"up to event {position} the log has {report.log_messages} messages, the stream {theirs}"
        return Problem(place="stream", what=what)
    return None


async def _compare_sample(
    connection: NatsConnection, log: sqlite.Connection, position: int, progress: Progress | None
) -> int:
    """The first, the last, and random ones: nobody can know which."""
    chosen = {1, position, *random.SystemRandom().choices(range(1, position + 1), k=SAMPLE)} if position else set[int]()
    compared = 0
    for at in sorted(chosen):
        row = log.execute(_ROW, (at,)).fetchone()
        found = await get_message(connection, at)
        if found is None and row is None:
            continue  # both say that it is gone
        theirs = _StreamRow(at, found.subject.encode(), found.headers, found.payload) if found else None
        _require_same(at, _as_logged(log, _StreamRow(*row), theirs) if row else None, theirs)
        compared += 1
    return compared


async def _compare_all(
    connection: NatsConnection, log: sqlite.Connection, position: int, progress: Progress | None
) -> int:
    """Read the whole stream once more."""
    intake = Intake(connection, 0)
    at = compared = 0
    try:
        while at < position:
            batch = await intake.batch()
            if isinstance(batch, Gap):
                first = log.execute(_ROWS, (batch.first, batch.last)).fetchone()
                if first is not None and first[0] <= position:
                    raise _Different(first[0], "the log has the message, the stream lost it")
                at = batch.last
                continue
            compared += _compare_batch(log, [message for message in batch if message.position <= position])
            at = batch[-1].position
            intake.resume()
            if progress is not None:
                progress(min(at, position), position)
    finally:
        await intake.close()
    return compared


def _compare_batch(log: sqlite.Connection, batch: list[Received]) -> int:
    if not batch:
        return 0
    ours = {row[0]: _StreamRow(*row) for row in log.execute(_ROWS, (batch[0].position, batch[-1].position))}
    for message in batch:
        theirs = _StreamRow(message.position, message.subject.encode(), message.headers, message.payload)
        mine = ours.get(message.position)
        _require_same(message.position, None if mine is None else _as_logged(log, mine, theirs), theirs)
    return len(batch)


def _as_logged(log: sqlite.Connection, ours: _StreamRow, theirs: _StreamRow | None) -> _StreamRow:
    """The log's row as the stream may still have it, where values were erased from it since."""
    if theirs is not None and ours.payload != theirs.payload and is_original(log, ours.position, theirs.payload):
        return ours._replace(payload=theirs.payload)
    return ours


def _require_same(position: int, ours: _StreamRow | None, theirs: _StreamRow | None) -> None:
    if ours is None or theirs is None:
        who = "the log" if ours is None else "the stream"
        raise _Different(position, f"{who} does not hold this message, the other does")
    for field, mine, its in zip(_StreamRow._fields, ours, theirs, strict=True):
        if mine != its:
            raise _Different(position, f"{field} is not the same in the log and in the stream")


async def _ignore(error: Exception) -> None:
    """Ignore asynchronous reports: errors that matter are raised where they happen."""


async def _closed() -> None:
    """We close it ourselves."""
