"""The ledger: what an outbox knows of its way, beside the events: where they go, and which are acknowledged.

An acknowledged event stays in the outbox until the archive has it, when that is asked for. Rows up to the ledger's last
acknowledged number wait for nothing but that; all others wait to be sent.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple, Protocol, TypeVar

from runlore.wire.archived import StoredRange

Result = TypeVar("Result")


class _Use(Protocol):
    """Let work use the outbox's connection, under its lock."""

    def __call__(self, work: Callable[[sqlite3.Connection], Result]) -> Result: ...


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
    """The ledger of one open outbox; `use` lets work have its connection under its lock."""

    def __init__(self, use: _Use) -> None:
        self._use = use

    def destination(self) -> Destination:
        return self._use(read_destination)

    def set_destination(self, destination: Destination) -> None:
        self._do("INSERT OR REPLACE INTO destination VALUES (1, ?, ?, ?)", destination)

    def kept(self) -> list[Acknowledged]:
        """What is acknowledged and not archived, oldest first."""
        rows = self._use(lambda connection: connection.execute(_KEPT).fetchall())
        return [Acknowledged(last, size, at, StoredRange(*where)) for last, size, at, *where in rows]

    def keep(self, ranges: Iterable[Acknowledged]) -> None:
        """Note rows as acknowledged."""
        for one in ranges:
            at = one.positions
            self._do(_KEEP, (one.last, one.bytes, one.at, at.first, at.last, at.first_id, at.last_id))

    def forget(self, last: int) -> None:
        """Rows up to number `last` have left."""
        self._do("DELETE FROM acknowledged WHERE last <= ?", (last,))

    def rewind(self, last: int) -> None:
        """Rows after number `last` must be sent again."""
        self._do("DELETE FROM acknowledged WHERE last > ?", (last,))

    def _do(self, sql: str, values: tuple[Any, ...]) -> None:
        self._use(lambda connection: connection.execute(sql, values))


def read_destination(connection: sqlite3.Connection) -> Destination:
    """The destination in an open outbox file."""
    row = connection.execute("SELECT server, project, epoch FROM destination").fetchone()
    return Destination(*row) if row else NOWHERE
