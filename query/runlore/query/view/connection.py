"""Reading the live view: one connection a thread, one consistent position a read, generation switches followed."""

from __future__ import annotations

import os
import threading
import time
import weakref
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from runlore.query.view.functions import register
from runlore.schemas.errors import (
    CorruptLogError,
    InvalidReferenceError,
    NotFoundError,
    QueryTimeoutError,
    RunloreError,
)
from runlore.schemas.shards import Shard
from runlore.store.access import using
from runlore.store.folder import DataDir
from runlore.store.folder_shard import folder_shard
from runlore.store.ownership import require_shared_folder
from runlore.store.sqlite import is_damage, open_reader, sqlite
from runlore.store.view_tables import VIEW_SCHEMA

STEPS_PER_LOOK = 20_000
"""Instructions of SQLite's machine between two looks at the clock: about a millisecond."""

_HEALS = "a running projector rebuilds it from log.db, and so does `runlore rebuild`"

_UNREADABLE = frozenset(
    (sqlite.SQLITE_BUSY, sqlite.SQLITE_LOCKED, sqlite.SQLITE_IOERR, sqlite.SQLITE_CANTOPEN, sqlite.SQLITE_PROTOCOL)
)
"""SQLite's codes for what is about the machine, not about the statement."""

Values = Sequence[Any] | Mapping[str, Any]
"""Parameters of a statement, in order or by name."""


_inherited: list[_Open] = []
"""A parent process's connections: its forked children neither use nor close them, so they are kept."""

_readers: weakref.WeakValueDictionary[int, ViewReader] = weakref.WeakValueDictionary()


def _before_fork() -> None:
    """Close what is idle; the next read opens a new connection.

    SQLite keeps, for each process, which locks it holds on a file. A child would inherit that account without the locks
    (POSIX gives them to the parent alone), take none for its own connections, and read on in files that others remove.
    """
    for reference in _readers.valuerefs():
        reader = reference()
        if reader is not None:
            reader.close()


os.register_at_fork(before=_before_fork)


class _Open:
    """One thread's connection, and what CURRENT looked like when it was made."""

    __slots__ = ("__weakref__", "_unneeded", "_used", "connection", "depth", "limit", "mark", "pid")

    def __init__(self, connection: sqlite.Connection, mark: tuple[int, int, int] | None) -> None:
        self.connection, self.mark = connection, mark
        self.pid, self.depth = os.getpid(), 0
        self.limit: tuple[float, float] | None = None
        """The end of the time limit (monotonic clock), and the limit in seconds."""
        # To close a connection twice at once, or while a statement runs, crashes the process with either library.
        self._used = threading.Lock()  # held by a read until it ends, and by closing for good
        self._unneeded = False
        self.take()  # it is made for a read

    def take(self) -> bool:
        """Begin a read; False once it is closed."""
        return self._used.acquire(blocking=False)

    def leave(self) -> None:
        """End the read."""
        self._used.release()
        if self._unneeded:
            self.close()

    def close(self) -> None:
        """Close it now, or when the read under way ends. From any thread."""
        self._unneeded = True
        if self.pid == os.getpid() and self._used.acquire(blocking=False):
            self.connection.close()

    def __del__(self) -> None:
        self.close()  # a thread that ends takes its connection along


class ViewReader:
    """Runs read-only SQL on a view. Safe in several threads, and after a fork while no other thread reads."""

    def __init__(self, path: Path) -> None:
        """`path` is a data folder, whose live view is followed, or one view file."""
        with using(path):
            self._data = None if path.is_file() else DataDir(path)
        self._file = path
        self._shard: Shard | None = None
        self._local = threading.local()
        self._connections: weakref.WeakValueDictionary[int, _Open] = weakref.WeakValueDictionary()
        _readers[id(self)] = self

    def __reduce__(self) -> tuple[type[ViewReader], tuple[Path]]:
        return ViewReader, (self._file,)  # connections are opened where they are used

    @property
    def path(self) -> Path:
        """The data folder or view file that is read."""
        return self._file

    @property
    def data(self) -> DataDir | None:
        """The data folder, None when one view file is read."""
        return self._data

    @property
    def shard(self) -> Shard:
        """The shard whose events are read; 0 while that is not known, and for one view file."""
        if self._shard is None and self._data is not None:
            self._shard = folder_shard(self._data)
        return self._shard or Shard()

    @property
    def generation(self) -> tuple[int, int, int] | None:
        """Identity of the view that is read; another after a rebuild, which gives entities other IDs."""
        with self.read():
            held: _Open = self._local.held
            return held.mark

    @contextmanager
    def read(self) -> Generator[sqlite.Connection]:
        """A connection inside one read transaction; nested reads share it."""
        held = self._taken()
        if held.limit is not None and time.monotonic() > held.limit[0]:
            raise _too_long(held.limit[1])  # many short reads, which SQLite never interrupts
        held.depth += 1
        try:
            if held.depth == 1:
                held.connection.execute("BEGIN")
            yield held.connection
        except sqlite.DatabaseError as error:
            raise _in_words(error) from error
        finally:
            held.depth -= 1
            if held.depth == 0:
                # Some errors end the transaction by themselves.
                if held.connection.in_transaction:
                    held.connection.execute("ROLLBACK")
                held.leave()

    @contextmanager
    def within(self, seconds: float) -> Generator[None]:
        """Open one read transaction with a time limit. Raises QueryTimeoutError."""
        late = time.monotonic() + seconds
        try:
            with self.read() as connection:
                held: _Open = self._local.held
                held.limit = late, seconds
                connection.set_progress_handler(lambda: time.monotonic() > late, STEPS_PER_LOOK)
                try:
                    yield
                finally:
                    held.limit = None
                    connection.set_progress_handler(None, 0)
        except sqlite.OperationalError as error:
            if error.sqlite_errorcode != sqlite.SQLITE_INTERRUPT:
                raise
            raise _too_long(seconds) from error

    def rows(self, sql: str, values: Values = ()) -> list[tuple[Any, ...]]:
        with self.read() as connection, _text_only():
            return connection.execute(sql, values).fetchall()

    def one(self, sql: str, values: Values = ()) -> tuple[Any, ...] | None:
        with self.read() as connection, _text_only():
            found: tuple[Any, ...] | None = connection.execute(sql, values).fetchone()
            return found

    def _taken(self) -> _Open:
        """This thread's connection, taken for a read: the outer one's, or one on the current generation."""
        held: _Open | None = getattr(self._local, "held", None)
        if held is not None and held.pid != os.getpid():
            _inherited.append(held)
            held = None
        if held is not None and held.depth:
            return held
        if held is None and self._data is not None:
            require_shared_folder(self._data.root)
        mark = self._mark()
        if held is None or held.mark != mark or not held.take():
            if held is not None:
                held.close()
            held = self._local.held = self._open(mark)
        return held

    def _mark(self) -> tuple[int, int, int] | None:
        if self._data is None:
            return None
        while True:
            try:
                with using(self._data.current):
                    status = self._data.current.stat()
            except FileNotFoundError:
                self._data.current_view()  # raises, saying what to do, unless a projector has just put it back
            else:
                return status.st_ino, status.st_mtime_ns, status.st_size

    def _open(self, mark: tuple[int, int, int] | None) -> _Open:
        path = self._file if self._data is None else self._data.current_view()
        try:
            connection = self._connect(path)
        except sqlite.OperationalError:
            # The generation may have been switched and the old file removed since CURRENT was read.
            path = self._file if self._data is None else self._data.current_view()
            try:
                connection = self._connect(path)
            except sqlite.OperationalError as error:
                raise NotFoundError(f"cannot open the view {path}: {error}") from error
        opened = _Open(connection, mark)
        self._connections[id(opened)] = opened
        return opened

    def _connect(self, path: Path) -> sqlite.Connection:
        connection = open_reader(path)
        connection.execute("PRAGMA query_only = 1")
        register(connection)
        try:
            state = connection.execute("SELECT schema_version FROM view_state").fetchone()
        except sqlite.DatabaseError as error:
            connection.close()
            if not is_damage(error):
                raise
            raise CorruptLogError(f"{path} is no view, or damaged ({error}): {_HEALS}") from error
        if state is None:
            connection.close()
            raise CorruptLogError(f"the view {path} has lost its position: {_HEALS}")
        (version,) = state
        if version != VIEW_SCHEMA:
            connection.close()
            raise CorruptLogError(
                f"{path} has view schema {version}, this library reads {VIEW_SCHEMA}: "
                "use the same version of runlore for projector and query"
            )
        return connection

    def let_go(self) -> None:
        """Close idle connections to a view that another has replaced, so that its file can go. From any thread."""
        try:
            mark = self._mark()
        except (RunloreError, OSError):
            return  # there is none right now
        for reference in self._connections.valuerefs():
            opened = reference()
            if opened is not None and opened.mark != mark:
                opened.close()

    def close(self) -> None:
        """Close the connections of all threads; reads under way end first. A later read opens new ones."""
        for reference in self._connections.valuerefs():  # a copy, made at once: other threads open and end meanwhile
            opened = reference()
            if opened is not None:
                opened.close()


@contextmanager
def _text_only() -> Generator[None]:
    try:
        yield
    except UnicodeEncodeError as error:
        raise InvalidReferenceError(
            f"no name and no key holds half a character, as {error.object!r:.80} does"
        ) from error


def _in_words(error: sqlite.DatabaseError) -> Exception:
    """The error that a reader gets for one of SQLite's."""
    if is_damage(error):
        return CorruptLogError(f"the view is damaged ({error}): {_HEALS}")
    if getattr(error, "sqlite_errorcode", 0) & 0xFF in _UNREADABLE:
        return RunloreError(f"the view cannot be read ({error}): look at its disk and permissions, or try again")
    return error


def _too_long(seconds: float) -> QueryTimeoutError:
    return QueryTimeoutError(f"the answer took longer than {seconds:g} s: ask for less")
