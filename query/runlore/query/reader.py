"""Reading the live view: one connection a thread, one consistent position a read, generation switches followed."""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runlore.query.filters.functions import register
from runlore.schemas.errors import CorruptLogError, NotFoundError, QueryTimeoutError
from runlore.schemas.layout import VIEW_SCHEMA, DataDir

BUSY_SECONDS = 5.0
STEPS_PER_LOOK = 20_000
"""Instructions of SQLite's machine between two looks at the clock: about a millisecond."""

Values = Sequence[Any] | Mapping[str, Any]
"""Parameters of a statement, in order or by name."""


_inherited: list[_Open] = []
"""A parent process's connections: its forked children neither use nor close them, so they are kept."""


class _Open:
    """One thread's connection, and what CURRENT looked like when it was made."""

    __slots__ = ("__weakref__", "connection", "depth", "limit", "mark", "pid")

    def __init__(self, connection: sqlite3.Connection, mark: tuple[int, int, int] | None) -> None:
        self.connection, self.mark = connection, mark
        self.pid, self.depth = os.getpid(), 0
        self.limit: tuple[float, float] | None = None
        """When reading ends (the monotonic clock), and how many seconds that was to be."""

    def close(self) -> None:
        if self.pid == os.getpid():
            self.connection.close()

    def __del__(self) -> None:
        self.close()  # a thread that ends takes its connection along


class ViewReader:
    """Runs read-only SQL on a view. Safe in several threads and after a fork."""

    def __init__(self, path: Path) -> None:
        """`path` is a data folder, whose live view is followed, or one view file."""
        self._data = None if path.is_file() else DataDir(path)
        self._file = path
        self._local = threading.local()
        self._connections: weakref.WeakSet[_Open] = weakref.WeakSet()

    @property
    def data(self) -> DataDir | None:
        """The data folder, None when one view file is read."""
        return self._data

    @contextmanager
    def read(self) -> Generator[sqlite3.Connection]:
        """A connection inside one read transaction; nested reads share it."""
        held = self._held()
        if held.limit is not None and time.monotonic() > held.limit[0]:
            raise _too_long(held.limit[1])  # many short reads, which SQLite never interrupts
        if held.depth == 0:
            held.connection.execute("BEGIN")
        held.depth += 1
        try:
            yield held.connection
        except sqlite3.DatabaseError as error:
            if type(error) is not sqlite3.DatabaseError:
                raise
            raise CorruptLogError(f"the view is damaged ({error}): make it anew with `runlore rebuild`") from error
        finally:
            held.depth -= 1
            # Some errors end the transaction by themselves.
            if held.depth == 0 and held.connection.in_transaction:
                held.connection.execute("ROLLBACK")

    @contextmanager
    def within(self, seconds: float) -> Generator[None]:
        """One read transaction that reads for so many seconds at most. Raises QueryTimeoutError."""
        late = time.monotonic() + seconds
        try:
            with self.read() as connection:
                held = self._held()
                held.limit = late, seconds
                connection.set_progress_handler(lambda: time.monotonic() > late, STEPS_PER_LOOK)
                try:
                    yield
                finally:
                    held.limit = None
                    connection.set_progress_handler(None, 0)
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_INTERRUPT:
                raise
            raise _too_long(seconds) from error

    def rows(self, sql: str, values: Values = ()) -> list[tuple[Any, ...]]:
        with self.read() as connection:
            return connection.execute(sql, values).fetchall()

    def one(self, sql: str, values: Values = ()) -> tuple[Any, ...] | None:
        with self.read() as connection:
            found: tuple[Any, ...] | None = connection.execute(sql, values).fetchone()
            return found

    def _held(self) -> _Open:
        held: _Open | None = getattr(self._local, "held", None)
        if held is not None and held.pid != os.getpid():
            _inherited.append(held)
            held = None
        if held is not None and held.depth:
            return held
        mark = self._mark()
        if held is None or held.mark != mark:
            if held is not None:
                held.close()
            held = self._local.held = self._open(mark)
        return held

    def _mark(self) -> tuple[int, int, int] | None:
        if self._data is None:
            return None
        try:
            status = self._data.current.stat()
        except FileNotFoundError:
            self._data.current_view()  # raises, saying what to do
            raise
        return status.st_ino, status.st_mtime_ns, status.st_size

    def _open(self, mark: tuple[int, int, int] | None) -> _Open:
        path = self._file if self._data is None else self._data.current_view()
        try:
            connection = self._connect(path)
        except sqlite3.OperationalError:
            # The generation may have been switched and the old file removed since CURRENT was read.
            path = self._file if self._data is None else self._data.current_view()
            try:
                connection = self._connect(path)
            except sqlite3.OperationalError as error:
                raise NotFoundError(f"cannot open the view {path}: {error}") from error
        opened = _Open(connection, mark)
        self._connections.add(opened)
        return opened

    def _connect(self, path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            isolation_level=None,
            timeout=BUSY_SECONDS,
            check_same_thread=False,
        )
        connection.execute("PRAGMA query_only = 1")
        register(connection)
        try:
            version = connection.execute("SELECT schema_version FROM view_state").fetchone()[0]
        except sqlite3.DatabaseError as error:
            connection.close()
            if isinstance(error, sqlite3.OperationalError) and "no such table" not in str(error):
                raise
            raise CorruptLogError(f"{path} is no view: {error}") from error
        if version != VIEW_SCHEMA:
            connection.close()
            raise CorruptLogError(
                f"{path} has view schema {version}, this library reads {VIEW_SCHEMA}: "
                "use the same version of runlore for projector and query"
            )
        return connection

    def close(self) -> None:
        """Close the connections of all threads."""
        for opened in list(self._connections):
            opened.close()
        self._connections.clear()
        self._local = threading.local()


def _too_long(seconds: float) -> QueryTimeoutError:
    return QueryTimeoutError(f"the answer took longer than {seconds:g} s: ask for less")
