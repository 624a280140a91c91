"""Restore plan of a damaged stream: every message of log.db at its position, and those that only the stream has.

Positions are never used twice. A message of log.db keeps its position. Later messages keep theirs if the stream still
agrees with log.db. If not (it lost its end and assigned those positions again), the events that only the stream has
follow at new positions. Positions whose events are lost stay empty.
"""

from __future__ import annotations

import contextlib
from collections.abc import Generator, Iterator
from hashlib import sha256
from pathlib import Path

import msgspec

from runlore.schemas.errors import NotFoundError
from runlore.store.audit.erasure import redactions
from runlore.store.log_rows import Received
from runlore.store.sqlite import open_reader, sqlite

_COLUMNS = "position, event_id, recorded_ns, subject, headers, payload"
_ORIGINAL = """EXISTS (SELECT 1 FROM temp.erased e WHERE e.position = l.position
    AND e.payload_hash = sha256(s.payload))"""
"""The stream still has what was erased from the row of log.db."""
_SAME = f"""l.event_id IS s.event_id AND l.subject = s.subject AND l.headers = s.headers
    AND (l.payload = s.payload OR {_ORIGINAL})"""
_LOST = """SELECT count(*), min(position), max(position) FROM main.log
    WHERE position NOT IN (SELECT position FROM stream.log)"""
_DIFFERING = f"""SELECT count(*), min(l.position) FROM main.log l JOIN stream.log s ON s.position = l.position
    WHERE NOT ({_SAME})"""
_STILL_THERE = f"""SELECT count(*) FROM main.log l JOIN stream.log s ON s.position = l.position
    WHERE l.payload <> s.payload AND {_ORIGINAL}"""
_ONLY_THERE = f"""FROM stream.log s WHERE s.position > :kept_after AND s.position <= :kept_until
    OR NOT (s.position > :kept_after AND s.position <= :kept_until)
    AND NOT EXISTS (SELECT 1 FROM main.log l WHERE l.event_id = s.event_id AND l.duplicate_of IS NULL
                    AND (l.payload = s.payload OR {_ORIGINAL}))
    AND NOT EXISTS (SELECT 1 FROM main.log l WHERE l.position = s.position AND {_SAME})"""


class RestorePlan(msgspec.Struct, frozen=True, kw_only=True):
    """Findings and actions of a restore. Positions are stream sequences."""

    epoch: str
    """Of log.db; the restored stream has it too."""
    log_events: int
    log_position: int
    stream_epoch: str | None
    """None: there is no stream, or no server that could read it."""
    stream_events: int
    stream_last: int
    lost: int
    """Messages of log.db that the stream does not hold."""
    lost_first: int | None
    lost_last: int | None
    differing: int
    """Messages that are not the same at the same position."""
    differing_first: int | None
    erased: int
    """Messages that still hold values which were erased from log.db."""
    drift: tuple[str, ...]
    """Settings of the stream that are not ours."""
    kept: int
    """Messages after log.db's end that keep their positions."""
    moved: int
    """Messages that only the stream has and that get new positions."""
    moved_from: int
    """The first of these."""
    last: int
    """The last position of the restored stream: the next event gets the one after it."""
    last_held: int
    """The last position with a message."""

    @property
    def whole(self) -> bool:
        """Return whether the stream needs nothing."""
        wrong = self.lost or self.differing or self.moved or self.drift or self.erased
        same = self.stream_epoch == self.epoch and not wrong
        return same and self.stream_last >= self.last


def plan_restore(log: Path, stream: Path | None, given: int, drift: tuple[str, ...] = ()) -> RestorePlan:
    """Compare log.db with a copy of the stream (`copy_stream`; None: nothing is left of it).

    `given`: the highest position that is known to have been assigned. Raises NotFoundError without a log.db.
    """
    with _both(log, stream) as connection:
        one = connection.execute
        position, epoch = one("SELECT position, epoch FROM main.log_state").fetchone()
        there = one("SELECT position, epoch FROM stream.log_state").fetchone() or (0, None)
        lost, lost_first, lost_last = one(_LOST).fetchone()
        differing, differing_first = one(_DIFFERING).fetchone()
        continues = there[1] == epoch and not differing
        kept_until = there[0] if continues else position
        kept = {"kept_after": position, "kept_until": kept_until}
        kept_count, kept_last = one(
            "SELECT count(*), max(position) FROM stream.log WHERE position > :kept_after AND position <= :kept_until",
            kept,
        ).fetchone()
        moved = one(f"SELECT count(*) {_ONLY_THERE}", kept).fetchone()[0] - kept_count
        held = max(one("SELECT coalesce(max(position), 0) FROM main.log").fetchone()[0], kept_last or 0)
        end = max(position, kept_last or 0, given, there[0] if there[1] == epoch else 0)
        return RestorePlan(
            epoch=epoch,
            log_events=one("SELECT count(*) FROM main.log").fetchone()[0],
            log_position=position,
            stream_epoch=there[1],
            stream_events=one("SELECT count(*) FROM stream.log").fetchone()[0],
            stream_last=there[0],
            lost=lost,
            lost_first=lost_first,
            lost_last=lost_last,
            differing=differing,
            differing_first=differing_first,
            erased=one(_STILL_THERE).fetchone()[0],
            drift=drift,
            kept=kept_count,
            moved=moved,
            moved_from=end + 1,
            last=end + moved,
            last_held=end + moved if moved else held,
        )


def restored_messages(log: Path, stream: Path | None, plan: RestorePlan) -> Iterator[Received]:
    """Every message of the restored stream, in order of its positions."""
    kept_until = plan.stream_last if plan.kept else plan.log_position
    with _both(log, stream) as connection:
        for row in connection.execute(f"SELECT {_COLUMNS} FROM main.log ORDER BY position"):
            yield Received(*row)
        kept = {"kept_after": plan.log_position, "kept_until": kept_until}
        only_there = connection.execute(
            f"""SELECT s.position > :kept_after AND s.position <= :kept_until, {_COLUMNS} {_ONLY_THERE}
            ORDER BY s.position <= :kept_after OR s.position > :kept_until, s.position""",
            kept,
        )
        position = plan.moved_from
        for keeps, *row in only_there:
            message = Received(*row)
            if keeps:
                yield message
            else:
                yield message._replace(position=position)
                position += 1


@contextlib.contextmanager
def _both(log: Path, stream: Path | None) -> Generator[sqlite.Connection]:
    if not log.exists():
        raise NotFoundError(f"no log at {log}: there is nothing to restore the stream from")
    with contextlib.closing(open_reader(log)) as connection:
        if stream is None:
            connection.execute("ATTACH ':memory:' AS stream")
            for table in ("log", "log_state"):
                connection.execute(f"CREATE TABLE stream.{table} AS SELECT * FROM main.{table} WHERE 0")
        else:
            connection.execute("ATTACH ? AS stream", (f"{stream.absolute().as_uri()}?mode=ro",))
        connection.create_function("sha256", 1, _sha256, deterministic=True)
        connection.execute("CREATE TEMP TABLE erased (position INTEGER PRIMARY KEY, payload_hash BLOB)")
        rows = [(position, one.payload_hash) for position, one in redactions(connection).items()]
        connection.executemany("INSERT INTO erased VALUES (?, ?)", rows)
        yield connection


def _sha256(payload: bytes) -> bytes:
    return sha256(payload).digest()
