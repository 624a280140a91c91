"""The ledger: what an outbox knows of its way, beside the events: where they go, and which are acknowledged.

An acknowledged event stays in the outbox until the archive has it, when that is asked for. Rows up to the ledger's last
acknowledged number wait for nothing but that; all others wait to be sent.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from typing import NamedTuple

from runlore.wire.archived import StoredRange

_Held = Callable[[], AbstractContextManager[sqlite3.Connection]]
_KEEP = "INSERT OR REPLACE INTO acknowledged VALUES (?, ?, ?, ?, ?, ?, ?)"
_KEPT = "SELECT last, bytes, at, first_position, last_position, first_id, last_id FROM acknowledged ORDER BY last"


class Destination(NamedTuple):
    """For whom an outbox's events are. None: not known; older versions did not keep it."""

    server: str | None = None
    """As `destinations.server_key` names it."""
    project: str | None = None
    epoch: str | None = None
    """Of the stream, once it is known."""


NOWHERE = Destination()


class Acknowledged(NamedTuple):
    """Rows that follow each other in the outbox, stored at consecutive positions."""

    last: int
    """Number of the last row."""
    bytes: int
    """Of their payloads."""
    at: float
    """When the stream acknowledged them, Unix seconds."""
    positions: StoredRange


class Ledger:
    """The ledger of one open outbox; `held` gives its connection under its lock."""

    def __init__(self, held: _Held) -> None:
        self._held = held

    def destination(self) -> Destination:
        with self._held() as connection:
            return read_destination(connection)

    def set_destination(self, destination: Destination) -> None:
        with self._held() as connection:
            connection.execute("INSERT OR REPLACE INTO destination VALUES (1, ?, ?, ?)", destination)

    def kept(self) -> list[Acknowledged]:
        """What is acknowledged and not archived, oldest first."""
        with self._held() as connection:
            rows = connection.execute(_KEPT).fetchall()
        return [Acknowledged(last, size, at, StoredRange(*where)) for last, size, at, *where in rows]

    def keep(self, ranges: Iterable[Acknowledged]) -> None:
        """Note rows as acknowledged."""
        with self._held() as connection:
            for one in ranges:
                at = one.positions
                row = one.last, one.bytes, one.at, at.first, at.last, at.first_id, at.last_id
                connection.execute(_KEEP, row)

    def forget(self, last: int) -> None:
        """Rows up to number `last` have left."""
        with self._held() as connection:
            connection.execute("DELETE FROM acknowledged WHERE last <= ?", (last,))

    def rewind(self, last: int) -> None:
        """Rows after number `last` must be sent again."""
        with self._held() as connection:
            connection.execute("DELETE FROM acknowledged WHERE last > ?", (last,))


def read_destination(connection: sqlite3.Connection) -> Destination:
    """The destination in an open outbox file."""
    row = connection.execute("SELECT server, project, epoch FROM destination").fetchone()
    return Destination(*row) if row else NOWHERE
