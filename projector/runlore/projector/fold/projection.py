"""Projection: a read model of the log, defined by one small function per kind of fact.

A projection is a pure function of the ordered log: no clock, no randomness, no network, and nothing that depends on
where a batch ends. Then its file can be thrown away and comes back the same.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Protocol, TypeVar

import msgspec

from runlore.schemas.events import Event, Fact
from runlore.store.audit.actor_keys import ActorKey
from runlore.store.database import Database
from runlore.store.view_migrations import run_script

Function = TypeVar("Function", bound=Callable[..., None])


class Recorded(msgspec.Struct, frozen=True):
    """One event where the log has it."""

    position: int
    recorded_us: int
    """The log's clock, microseconds since 1970, never going back."""
    event: Event


class Reads(Protocol):
    """Lookups for a projection's functions: the file's connection, or one that waits for its writer."""

    def execute(self, sql: str, parameters: Any = ..., /) -> Any: ...


class Batch(Protocol):
    """Pending writes of a projection's functions while a batch is folded."""

    def take(self) -> Callable[[Any], None]:
        """Return the pending writes as a function that applies them in a connection's open transaction."""
        ...

    def abandon(self) -> None:
        """Discard the pending writes of a failed batch."""

    def trim(self) -> None:
        """Free memory between batches."""


class Direct:
    """Functions that write at once: nothing is held back."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def take(self) -> Callable[[Any], None]:
        return lambda connection: None

    def abandon(self) -> None: ...

    def trim(self) -> None: ...


class Projection:
    """Base of all projections. Subclass it, set `name`, `version` and `tables`, and mark a function per fact:

        class Stages(Projection):
            name, version = "stages", 1
            tables = "CREATE TABLE moves (position INTEGER PRIMARY KEY, model TEXT, stage TEXT) STRICT"

            @on(ModelStageChanged)
            def moved(self, db: sqlite3.Connection, fact: ModelStageChanged, at: Recorded) -> None:
                db.execute("INSERT INTO moves VALUES (?, ?, ?)", (at.position, str(fact.model), fact.stage))

    Functions write through `db` inside the batch's transaction and never commit. One that raises sends the event to the
    file's quarantine, with nothing of it written. Facts without a function are passed over.
    """

    name: ClassVar[str]
    """Names the file; lower-case letters, digits and dashes."""
    version: ClassVar[int]
    """Raise it with every change to what is written: a file of another version is rebuilt."""
    tables: ClassVar[str] = ""
    """SQL statements that make the tables, separated by semicolons at line ends. Or define `make_tables`."""
    functions: ClassVar[dict[type[Fact], Callable[..., None]]] = {}

    def __init_subclass__(cls) -> None:
        own = {kind: made for made in vars(cls).values() for kind in getattr(made, "_facts", ())}
        cls.functions = {**cls.functions, **own}

    def make_tables(self, db: Database) -> None:
        """Make the tables of a new file; the caller holds a transaction."""
        run_script(db, self.tables)

    def begin(self, reads: Reads) -> Batch:
        """Return the object that this projection's functions write to while a file is open."""
        return Direct(reads)

    def actor_key(self, batch: Any, position: int, stated: ActorKey) -> None:
        """Hear whose a key is from a position on: the log's key has signed it."""

    def apply(self, batch: Any, at: Recorded) -> None:
        """Fold one event."""
        function = self.functions.get(type(at.event.fact))
        if function is not None:
            function(self, batch.connection, at.event.fact, at)


def on(*facts: type[Fact]) -> Callable[[Function], Function]:
    """Mark the function of a projection that folds these facts."""

    def mark(function: Function) -> Function:
        function._facts = facts  # type: ignore[attr-defined]  # pyright: ignore[reportFunctionMemberAccess] -- read back by __init_subclass__
        return function

    return mark
