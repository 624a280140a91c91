"""Holes: positions that the stream has assigned and no longer holds.

The counts of a stream that lost messages show it, unless its server was stopped normally: then it trusts
its index, counts messages that it can no longer read, and its consumers pass over them in silence (nats-server 2.15,
measured). So counts are compared on every connect, some messages are read at once, and all of them by `scrub`.
"""

from __future__ import annotations

import random
from typing import Any

from nats.aio.client import Client as NatsConnection

from runlore.projector.archiving.intake import NOT_HELD
from runlore.schemas.errors import ServerUnavailableError
from runlore.store.log_rows import Gap
from runlore.store.sqlite import sqlite
from runlore.wire.api import ApiError, api, shard_of
from runlore.wire.stream import get_message, next_sequence, stream_info

WHAT_TO_DO = "log.db has them: stop the producers and `runlore up`, then `runlore stream restore` shows its plan"

SPOT_CHECKS = 64
LISTED_HOLES = 100_000
"""Above this number of missing messages the server is not asked to list them."""

_ROWS = "SELECT min(position), count(*) FROM log WHERE position BETWEEN ? AND ?"
_KNOWN = "SELECT coalesce(sum(last - first + 1), 0) FROM gaps"


async def trailing_gap(connection: NatsConnection, position: int) -> Gap | None:
    """Return the positions after `position` if the stream has assigned some and holds none of them.

    No consumer tells of them: it only waits for the next message. Raises ServerUnavailableError, NotFoundError.
    """
    last = (await stream_info(connection)).last_seq
    if last > position and await next_sequence(connection, position + 1) is None:
        return Gap(position + 1, last, NOT_HELD)
    return None


async def find_holes(connection: NatsConnection, log: sqlite.Connection, position: int) -> str | None:
    """Return what the stream lost of the log's messages up to `position`, judged by counts and a few reads, or None.

    `log`: a reader of log.db. Raises ServerUnavailableError.
    """
    state = await _state(connection, deleted=False)
    missing = state["last_seq"] - state["messages"]
    if missing > log.execute(_KNOWN).fetchone()[0]:
        lost = await _lost(connection, log, position, missing)
        if lost:
            return lost
    return await _spot_check(connection, log, position)


async def _lost(connection: NatsConnection, log: sqlite.Connection, position: int, missing: int) -> str | None:
    if missing > LISTED_HOLES:
        return f"the stream no longer holds {missing:,} of its messages"
    state = await _state(connection, deleted=True)
    ranges = [(1, state["first_seq"] - 1), *((each, each) for each in state.get("deleted") or ())]
    found = [log.execute(_ROWS, (first, min(last, position))).fetchone() for first, last in ranges]
    positions = [first for first, _ in found if first is not None]
    if not positions:
        return None
    count = sum(count for _, count in found)
    return f"the stream lost {count:,} messages that log.db has, the first is event {min(positions):,}"


async def _spot_check(connection: NatsConnection, log: sqlite.Connection, position: int) -> str | None:
    if not position:
        return None
    for at in sorted(set(random.SystemRandom().choices(range(1, position + 1), k=SPOT_CHECKS))):
        row = log.execute("SELECT payload FROM log WHERE position = ?", (at,)).fetchone()
        if row is None:
            continue
        found = await get_message(connection, at)
        if found is None:
            return f"the stream lost event {at:,}, which log.db has"
        if found.payload != bytes(row[0]):
            return f"event {at:,} of the stream is not the one in log.db"
    return None


async def _state(connection: NatsConnection, deleted: bool) -> dict[str, Any]:
    body = {"deleted_details": True} if deleted else None
    try:
        state: dict[str, Any] = (await api(connection, f"STREAM.INFO.{shard_of(connection).stream}", body))["state"]
    except ApiError as error:
        raise ServerUnavailableError(str(error)) from error
    return state
