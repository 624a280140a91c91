"""log.db: the append-only local copy of the stream, byte for byte. It never changes."""

from __future__ import annotations

import time
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from runlore.projector.archiving.redacted_rows import add_redactions, redact_row, redacted_copy
from runlore.projector.archiving.saved_log import saved
from runlore.projector.audit.growth import append_leaves, caught_up, message_leaves
from runlore.projector.audit.keys import Verifier
from runlore.projector.audit.log_keys import folder_key, is_trusted
from runlore.projector.database import OpenFiles, durable, empty_wal, open_writer, wal_bytes
from runlore.projector.logs import get_log
from runlore.schemas.errors import CorruptLogError, NotFoundError
from runlore.schemas.shards import Shard
from runlore.store.access import check_readable
from runlore.store.audit.actor_keys import HEADER, actor_key_in
from runlore.store.audit.erasure import Erasure, LoggedErasure, Redaction, erasure_of, has_erasures, newest_executed
from runlore.store.audit.leaf import LeafCoder
from runlore.store.database import Database
from runlore.store.folder import DataDir
from runlore.store.log_rows import LogRow, Received
from runlore.store.log_tables import log_migrations, require_known_tables
from runlore.store.private_folder import make_shared_folder
from runlore.store.replica_folder import no_log
from runlore.store.sqlite import log_error, open_reader, sqlite
from runlore.wire.archived import Fate, StoredRange

READ_BYTES = 32 * 1024 * 1024
"""`ArchiveReader.read` stops after this many payload bytes, whatever its limit."""

PAGE_BYTES = 8192
"""Seven usual events a page; three with the usual 4096, which cost a tenth more time and space."""

_READ_STEP = 256


_APPEND = "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, NULL)"
_APPEND_DUPLICATE = "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?)"
_FIRST_COPY = "SELECT position, subject = ? AND payload = ? FROM log WHERE event_id = ? AND duplicate_of IS NULL"
_STORED = """SELECT count(*), coalesce(sum((position = ?1 AND event_id = ?3) OR (position = ?2 AND event_id = ?4)), 0)
    FROM log WHERE position BETWEEN ?1 AND ?2"""
_ADD_CHECKPOINT = "INSERT INTO checkpoints VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_ADD_COSIGNATURE = "INSERT INTO cosignatures VALUES (?, ?, ?) ON CONFLICT DO NOTHING"
_MOVE = "UPDATE log_state SET position = ? WHERE id = 1 AND position = ?"
_CONFLICTS = """duplicate_of IS NOT NULL AND NOT EXISTS (SELECT 1 FROM log AS first
    WHERE first.position = log.duplicate_of AND first.subject = log.subject AND first.payload = log.payload)"""
_READ = f"""SELECT position, event_id, recorded_ns, subject, payload, duplicate_of, {_CONFLICTS}, {{erased}}, 0
    FROM log WHERE position > ? ORDER BY position LIMIT ?"""
_ERASED = "EXISTS (SELECT 1 FROM erasures WHERE erasures.position = log.position)"
_COPIES = f"SELECT count(*), coalesce(sum({_CONFLICTS}), 0) FROM log WHERE duplicate_of IS NOT NULL"
_LAST = """SELECT position, event_id, recorded_ns, subject, payload, duplicate_of
    FROM log ORDER BY position DESC LIMIT 1"""


class Archive:
    """The one writer of log.db. Every change moves rows, tree and position in one transaction.

    A MachineError of `database` (disk full, locked) passes through; nothing of the call is stored then.
    """

    def __init__(self, path: Path, db: Database) -> None:
        self._path, self._db = path, db
        self.position, self.epoch, stream = _state(path, db.conn)
        self.duplicates: int
        self.conflicts: int
        self.duplicates, self.conflicts = db.conn.execute(_COPIES).fetchone()
        self.gaps: int = db.conn.execute("SELECT count(*) FROM gaps").fetchone()[0]
        self.coder = LeafCoder(self.epoch, stream)
        self.tree = caught_up(path, db, self.coder, self.position)
        self._files = OpenFiles(path)
        self._expected: Mapping[int, Redaction] = {}

    @classmethod
    def open(cls, path: Path, epoch: str, shard: Shard = Shard()) -> Archive:  # noqa: B008 -- frozen
        """Open the log, or create it for the shard's stream of this epoch. A log without rows adopts both.

        An older log keeps its own epoch: compare. Raises CorruptLogError, NewerSchemaError, FolderError.
        """
        make_shared_folder(path.parent)
        try:
            db = open_writer(path, page_bytes=PAGE_BYTES)
            require_known_tables(path, db.conn)
            log_migrations.apply(db)
            with db.atomic():
                db.conn.execute(
                    """INSERT INTO log_state VALUES (1, 0, ?, ?, ?)
                    ON CONFLICT DO UPDATE SET epoch = excluded.epoch, stream = excluded.stream
                    WHERE position = 0""",
                    (epoch, shard.stream, time.time()),
                )
            return cls(path, db)
        except sqlite.DatabaseError as error:
            raise log_error(path, error) from error

    def append(self, messages: Sequence[Received]) -> None:
        """Store messages that follow the position without a hole, all or none.

        A second message with the ID of an event in the log is stored as a duplicate. If its content differs, it goes to
        quarantine when it is folded.
        Raises CorruptLogError when they do not follow, or someone else moved the position.
        """
        if not messages:
            return
        first, last = messages[0].position, messages[-1].position
        if first != self.position + 1 or last - first + 1 != len(messages):
            raise CorruptLogError(
                f"positions {first} to {last} ({len(messages)} messages) do not follow {self.position}: "
                "nothing was stored; restart the projector, and report this"
            )
        erased = self._erased_before(messages)
        leaves = message_leaves(self.coder, messages, erased)
        try:
            with self._moved_to(last, leaves):
                add_redactions(self._db.conn, erased)
                # sqlite3 asks its adapters about every bytes object, 1.7 µs; a bytearray it binds at once.
                rows = [(*row[:4], bytearray(row.headers), bytearray(row.payload)) for row in messages]
                self._db.conn.executemany(_APPEND, rows)
        except sqlite.IntegrityError:
            with self._moved_to(last, leaves):
                add_redactions(self._db.conn, erased)
                duplicates, conflicts = self._append_one_by_one(messages)
            self.duplicates += duplicates
            self.conflicts += conflicts

    def expect(self, redactions: Mapping[int, Redaction]) -> None:
        """Hear which messages of the stream may be redacted already, by erasures that come later in it."""
        self._expected = redactions

    def _erased_before(self, messages: Sequence[Received]) -> dict[int, Redaction]:
        """Those of the messages that are what an erasure left."""
        if not self._expected:
            return {}
        found = ((one, self._expected.get(one.position)) for one in messages)
        return {one.position: redaction for one, redaction in found if redaction and redaction.fits(one.payload)}

    def record_gap(self, first: int, last: int, reason: str) -> None:
        """Note that the stream does not hold these positions, and go past them. Raises CorruptLogError."""
        if first != self.position + 1 or last < first:
            raise CorruptLogError(f"a gap from {first} to {last} does not follow {self.position}")
        with self._moved_to(last, [self.coder.gap(first, last, reason.encode())]):
            self._db.conn.execute("INSERT INTO gaps VALUES (?, ?, ?, ?)", (first, last, time.time_ns(), reason))
        self.gaps += 1

    def add_checkpoint(self, size: int, note: str) -> bool:
        """Keep the signed note for a tree size; False when there is one already. On disk when it returns."""
        with durable(self._db):
            kept = self._db.conn.execute(_ADD_CHECKPOINT, (size, note, time.time_ns()))
        return int(kept.rowcount) == 1

    def checkpoint_size(self) -> int:
        """The tree size of the newest checkpoint, 0 when there is none."""
        return int(self._db.conn.execute("SELECT coalesce(max(size), 0) FROM checkpoints").fetchone()[0])

    def newest_note(self) -> str | None:
        """The newest checkpoint as it was signed; None when there is none."""
        row = self._db.conn.execute("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1").fetchone()
        return str(row[0]) if row else None

    def add_cosignature(self, size: int, witness: str, line: str) -> None:
        """Keep what a witness says about a checkpoint; its first word counts."""
        with self._db.atomic():
            self._db.conn.execute(_ADD_COSIGNATURE, (size, witness, line))

    def add_timestamp(self, size: int, response: bytes) -> None:
        """Keep what a time-stamping authority answered about a checkpoint."""
        with self._db.atomic():
            self._db.conn.execute("INSERT INTO timestamps VALUES (?, ?) ON CONFLICT DO NOTHING", (size, response))

    def stamped_size(self) -> int:
        """The tree size of the newest checkpoint that has a time stamp, 0 when none has."""
        return int(self._db.conn.execute("SELECT coalesce(max(size), 0) FROM timestamps").fetchone()[0])

    @property
    def connection(self) -> sqlite.Connection:
        """For reading, in the thread of this object."""
        return self._db.conn

    def last(self) -> LogRow | None:
        """The message with the highest position."""
        row = self._db.conn.execute(_LAST).fetchone()
        return LogRow(*row) if row else None

    def fate(self, stored: StoredRange) -> Fate:
        """Return whether acknowledged events are archived, by ID: a stream that lost its end reuses positions."""
        if stored.last > self.position:
            return "pending"
        count = self._db.conn.execute(_STORED, (stored.first, stored.last, stored.first_id, stored.last_id)).fetchone()
        if count == (stored.last - stored.first + 1, 2 if stored.last > stored.first else 1):
            return "archived"
        alone = stored.first == stored.last and self._db.conn.execute(_FIRST_COPY, (stored.last_id,)).fetchone()
        return "archived" if alone else "missing"

    def wal_bytes(self) -> int:
        """Size of the write-ahead log."""
        return wal_bytes(self._path)

    def checkpoint(self) -> None:
        """Empty the write-ahead log into the file, unless a reader holds it: then try again later."""
        empty_wal(self._db)

    def require_in_place(self) -> None:
        """Check that log.db is still where it was opened; if not, save its content and raise an error that says so.

        Raises RunloreError when it was put back, CorruptLogError when another file is there.
        """
        misplaced = self._files.misplaced()
        if misplaced:
            raise saved(self._path, self._db, misplaced, self.position)

    def redact(self, statement: int, erasure: Erasure) -> int:
        """Put redacted payloads in the place of those that an erasure names, all or none; return how many.

        Raises CorruptLogError where one is not what the erasure says, EventDecodeError where it cannot be redacted.
        """
        with self._overwriting(), self._db.atomic():
            return sum(redact_row(self._db.conn, statement, event, erasure) for event in erasure.events)

    @contextmanager
    def _overwriting(self) -> Generator[None]:
        """Have SQLite overwrite what is no longer needed, in the file and, at the next checkpoint, beside it."""
        self._db.conn.execute("PRAGMA secure_delete = ON").fetchall()
        try:
            yield
        finally:
            self._db.conn.execute("PRAGMA secure_delete = OFF").fetchall()

    def close(self) -> None:
        """Close the file; the write-ahead log goes with the last connection."""
        self._db.close()

    @contextmanager
    def _moved_to(self, position: int, leaves: Sequence[bytes]) -> Generator[None]:
        with self._db.atomic():
            yield
            if self._db.conn.execute(_MOVE, (position, self.position)).rowcount != 1:
                raise CorruptLogError(
                    f"someone else moved the position of {self._path} from {self.position}: nothing was "
                    "stored; find the other writer, then restart the projector"
                )
            tree = append_leaves(self._db.conn, self.tree, leaves, self.position, position)
        self.position, self.tree = position, tree

    def _append_one_by_one(self, messages: Sequence[Received]) -> tuple[int, int]:
        """Return how many of them have the ID of an earlier event, and how many of those have other content."""
        duplicates = conflicts = 0
        for message in messages:
            told = (message.subject, message.payload, message.event_id)
            row = self._db.conn.execute(_FIRST_COPY, told).fetchone()
            again = None if row is None or row[1] else redacted_copy(self._db.conn, message, row[0])
            self._db.conn.execute(_APPEND_DUPLICATE, (*(again or message), row[0] if row else None))
            if row is not None:
                duplicates += 1
                if not row[1] and again is None:
                    conflicts += 1
                    _say_conflict(message, row[0])
        return duplicates, conflicts


class ArchiveReader:
    """Reads log.db beside its writer, from any process. Use one instance in one thread.

    Raises NotFoundError when there is no log yet, CorruptLogError when the file is damaged, NewerSchemaError.
    """

    def __init__(self, path: Path, trusted: Sequence[Verifier] = ()) -> None:
        """`trusted`: keys of this log, to be believed about actors in place of the folder's own."""
        self._path, self._trusted = path, trusted
        if not path.exists():
            check_readable(path.parent)
            told = f"no log at {path}: the projector makes it when it first sees the stream"
            raise no_log(DataDir(path.parent.parent)) or NotFoundError(told)
        self._connection = open_reader(path)
        try:
            require_known_tables(path, self._connection)
            _, self.epoch, self.stream = _state(path, self._connection)
            self._read = _READ.format(erased=_ERASED if has_erasures(self._connection) else "0")
        except sqlite.DatabaseError as error:
            raise log_error(path, error) from error

    @property
    def position(self) -> int:
        """Everything up to here is archived."""
        return _state(self._path, self._connection)[0]

    @property
    def erased_at(self) -> int:
        """The position of the newest erasure that was executed here; 0 if there is none."""
        return newest_executed(self._connection)

    def read(self, after: int, limit: int) -> list[LogRow]:
        """Up to `limit` rows that follow position `after`, fewer when they are large; duplicates included."""
        rows: list[LogRow] = []
        size = 0
        try:
            cursor = self._connection.execute(self._read, (after, limit))
            while size < READ_BYTES and (step := cursor.fetchmany(_READ_STEP)):
                rows += map(LogRow._make, step)
                size += sum(len(row[4]) for row in step)
            cursor.close()  # an open cursor would hold the write-ahead log
            rows = [self._weighed(row) if row[4].startswith(HEADER) else row for row in rows]
        except sqlite.OperationalError:
            raise  # locked or a disk error: about the machine, not the data
        except sqlite.DatabaseError as error:
            raise log_error(self._path, error) from error
        return rows

    def erasure(self, position: int) -> LoggedErasure | None:
        """What erased values of an event; None where nothing did."""
        return erasure_of(self._connection, position)

    def _weighed(self, row: LogRow) -> LogRow:
        """Mark a statement about an actor's key that a key of this log has signed; other rows stay as they are."""
        if actor_key_in(row.subject, row.payload) is None:
            return row
        own = None if self._trusted else folder_key(DataDir(self._path.parent.parent), self.epoch)
        note = row.payload.decode(errors="replace")
        return row._replace(trusted=is_trusted(self._connection, row.position, note, self._trusted, own))

    def at(self, position: int) -> LogRow | None:
        """The message at a position, if the log holds one there."""
        found = self.read(position - 1, 1)
        return found[0] if found and found[0].position == position else None

    def position_at(self, recorded_us: int) -> int:
        """The last position recorded at or before a time (microseconds since 1970).

        As in the view, recorded time never goes back: what follows a later event counts as later. Reads every row's
        time when the answer is near the end.
        """
        sql = "SELECT position FROM log WHERE recorded_ns / 1000 > ? ORDER BY position LIMIT 1"
        row = self._connection.execute(sql, (recorded_us,)).fetchone()
        return self.position if row is None else int(row[0]) - 1

    def close(self) -> None:
        self._connection.close()


def _state(path: Path, connection: sqlite.Connection) -> tuple[int, str, str]:
    """Position, epoch and the stream's name."""
    try:
        row = connection.execute("SELECT position, epoch, stream FROM log_state").fetchone()
    except sqlite.OperationalError as error:
        if "no such table" not in str(error):
            raise
        row = None
    except sqlite.DatabaseError as error:
        raise log_error(path, error) from error
    if row is None:
        if _has_rows(connection):
            raise CorruptLogError(f"{path} has rows and has lost its position: `runlore audit verify` says more")
        raise NotFoundError(f"{path} holds no log yet: start the projector once")
    return int(row[0]), str(row[1]), str(row[2])


def _say_conflict(message: Received, first: int) -> None:
    get_log().error(
        "another event has the ID of an earlier one: it is kept in quarantine, without effect",
        event_id=message.event_id,
        position=message.position,
        first=first,
    )


def _has_rows(connection: sqlite.Connection) -> bool:
    there = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'log' AND type = 'table'").fetchone()
    return there is not None and connection.execute("SELECT 1 FROM log").fetchone() is not None
