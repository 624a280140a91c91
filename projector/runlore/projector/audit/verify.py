"""Verify log.db: recompute its tree from raw bytes, and compare it with the stored and the signed one.

The tree in the file is never trusted. It serves to name the row that changed: the recomputed leaf hashes are compared
with the stored ones, block by block. Whoever changes those too is caught by the signed checkpoints.
"""

from __future__ import annotations

import contextlib
import heapq
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from runlore.projector.audit.erased import check_redactions
from runlore.projector.audit.findings import AuditPart, Problem, VerifyReport
from runlore.projector.audit.key_history import TrustedRange, described, read_changes, spread
from runlore.projector.audit.keys import Verifier
from runlore.projector.audit.leaves import LeafError, LeafKind, leaves
from runlore.projector.audit.log_keys import told_actor_keys
from runlore.projector.audit.opening import open_audited
from runlore.projector.audit.signing import CHECKPOINT_SECONDS
from runlore.projector.audit.strays import StrayError, require_no_strays
from runlore.projector.progress import Progress
from runlore.schemas.errors import CorruptLogError
from runlore.store.audit.checkpoint import Checkpoint, read_checkpoint
from runlore.store.audit.leaf import LeafCoder, origin_of, speaks_for
from runlore.store.audit.merkle import HASH_BYTES
from runlore.store.audit.tree import BLOCK, BLOCK_LEVEL, Tree, read_tree
from runlore.store.sqlite import sqlite


class _WrongError(Exception):
    def __init__(self, place: AuditPart, what: str, position: int | None = None) -> None:
        self.problem = Problem(place=place, what=what, position=position)
        super().__init__(what)


class _StoredCheckpoint(Checkpoint):
    """A checkpoint whose signature holds, and where it comes from."""

    source = "stored in log.db"


class _OutsideCheckpoint(_StoredCheckpoint):
    source = "from outside"


def verify_log(
    path: Path, trusted: Sequence[Verifier], outside: Sequence[Checkpoint] = (), progress: Progress | None = None
) -> VerifyReport:
    """Verify everything up to the log's position, in constant memory. The first problem ends it.

    `trusted`: the keys of which one must have signed each stored checkpoint. `outside`: checkpoints kept elsewhere,
    verified already. Raises NotFoundError when there is no log and no folder for one, or an empty one without a tree;
    OperationalError when the machine fails.
    """
    report = VerifyReport(log=str(path), epoch="", position=0, outside=len(outside))
    if not path.exists() and path.parent.is_dir():
        what = f"{path} is missing, its folder is there: it was removed, or the projector has never seen a stream"
        report.problems.append(Problem(place="log", what=what))
        return report
    try:
        connection = open_audited(path)
    except sqlite.OperationalError:
        raise
    except (CorruptLogError, sqlite.DatabaseError) as error:
        report.problems.append(Problem(place="log", what=f"the file is damaged: {error}"))
        return report
    with contextlib.closing(connection):
        verification = _Verification(connection, trusted, outside, report, progress or _say_nothing)
        try:
            verification.run()
        except (_WrongError, StrayError) as wrong:
            report.problems.append(wrong.problem)
        except CorruptLogError as error:
            report.problems.append(Problem(place="tree", what=str(error)))
        except sqlite.DatabaseError as error:
            if isinstance(error, sqlite.OperationalError) and "no such column" not in str(error):
                raise
            after = verification.good
            what = f"the file is damaged after position {after}: {error}"
            report.problems.append(Problem(place="log", position=after + 1, what=what))
        return report


class _Verification:
    """One pass over one log. `good`: everything up to this position is as the tree recorded it."""

    def __init__(
        self,
        connection: sqlite.Connection,
        trusted: Sequence[Verifier],
        outside: Sequence[Checkpoint],
        report: VerifyReport,
        progress: Progress,
    ) -> None:
        self._connection, self._trusted, self._report, self._progress = connection, trusted, report, progress
        self._keys: list[TrustedRange] = []
        self._outside = [_OutsideCheckpoint(*one) for one in sorted(outside, key=lambda one: one.size) if one.size]
        self.good = 0
        self._tree, self._stored = Tree(), Tree()
        self._hashes: list[bytes] = []
        """Leaf hashes after those in `_tree`, which ends at a block's border."""
        self._positions: list[int] = []
        """And the position of each."""
        self._stream = ""
        self._confirmed = 0
        """The position up to which a signature confirms the log."""

    def run(self) -> None:
        report = self._report
        covered = self._read_state()
        coder = LeafCoder(report.epoch, self._stream)
        self._read_keys()
        checkpoints = iter(heapq.merge(self._checkpoints(), self._outside, key=lambda one: one.size))
        checkpoint = next(checkpoints, None)
        try:
            for first, last, leaf, kind in leaves(self._connection, coder, 0, report.position):
                self._hashes.append(leaf)
                self._positions.append(first)
                report.leaves += 1
                if kind != "event":
                    self._count(kind, first)
                while checkpoint is not None and checkpoint.size <= report.leaves:
                    self._check(checkpoint, last)
                    checkpoint = next(checkpoints, None)
                if len(self._hashes) == BLOCK:
                    self._end_block(last)
        except LeafError as error:
            self._compare()  # a wrong row before it comes first
            raise _WrongError("log", error.what, error.position) from error
        self._finish(checkpoint, covered)
        self._require_erasures()
        report.actor_keys = list(told_actor_keys(self._connection, self._keys))

    def _require_erasures(self) -> None:
        """Each redacted row must be what an erasure says that the log's key has signed, later in the log."""
        self._report.erased, wrong = check_redactions(self._connection, self._report.position, self._keys)
        if wrong is not None:
            raise _WrongError("log", wrong.what, wrong.position)

    def _count(self, kind: LeafKind, position: int) -> None:
        report = self._report
        if kind == "gap":
            report.gaps += 1
            return
        report.duplicates += 1
        if kind == "conflict":
            report.conflicts += 1
            report.first_conflict = report.first_conflict or position

    def _read_state(self) -> int:
        """Log position, epoch and stored tree, all of one moment; the position that the tree covers."""
        connection = self._connection
        connection.execute("BEGIN")
        row = connection.execute("SELECT position, epoch, stream FROM log_state").fetchone()
        last = connection.execute("SELECT max(position) FROM log").fetchone()[0] or 0
        if row is None:
            raise _WrongError("log", "log.db has lost its position")
        position, self._report.epoch = int(row[0]), row[1].decode(errors="replace")
        self._stream = row[2].decode(errors="replace")
        if last > position:
            raise _WrongError("log", f"there are rows beyond the log's position {position}", position + 1)
        self._report.position = position
        covered, self._stored = read_tree(connection)
        require_no_strays(connection, position, self._stored.size)
        connection.execute("COMMIT")
        return covered

    def _checkpoints(self) -> Iterator[_StoredCheckpoint]:
        size = 0
        query = "SELECT size, note FROM checkpoints WHERE size > ? ORDER BY size LIMIT 1"
        while row := self._connection.execute(query, (size,)).fetchone():
            size = row[0]
            if size > self._stored.size:
                self._require_newer(size)
                return
            try:
                found = read_checkpoint(row[1].decode(errors="replace"), self._keys_for(size))
            except CorruptLogError as error:
                raise _WrongError("checkpoint", f"the checkpoint stored for {size} leaves: {error}") from error
            if found.size != size:
                raise _WrongError("checkpoint", f"the checkpoint stored for {size} leaves speaks of {found.size}")
            yield _StoredCheckpoint(*found)

    def _read_keys(self) -> None:
        """Read what the log says about its keys; the rows are verified with all others."""
        changes = read_changes(self._connection)
        self._keys = spread(self._trusted, changes)
        self._report.key_changes = [described(change) for change in changes]

    def _keys_for(self, size: int) -> list[Verifier]:
        return [one.key for one in self._keys if one.covers(size)]

    def _require_newer(self, size: int) -> None:
        """A checkpoint beyond the tree we began with is fine only when the log has grown meanwhile."""
        (now,) = self._connection.execute("SELECT size FROM tree_state").fetchone()
        if size > now:
            what = f"a stored checkpoint speaks of {size} leaves, the log has {now}: it was cut, and its tree with it"
            raise _WrongError("checkpoint", what, self._report.position + 1)

    def _check(self, checkpoint: _StoredCheckpoint, position: int) -> None:
        """Compare the root of the leaves so far with a signed one."""
        name = f"the checkpoint of {checkpoint.size} leaves {checkpoint.source}"
        if not speaks_for(checkpoint.origin, self._report.epoch, self._stream):
            what = f"{name} is of another log: {checkpoint.origin}, not {origin_of(self._report.epoch, self._stream)}"
            raise _WrongError("checkpoint", what)
        self._require_in_time(name, checkpoint)
        self._compare()
        if self._tree.grown(self._hashes).tree.root() != checkpoint.root:
            between = f"positions {self._confirmed + 1} to {position}"
            what = f"{name} has another root than the log: something in {between} was rewritten, and the tree with it"
            raise _WrongError("checkpoint", what, self._confirmed + 1)
        self._confirmed = position
        self._report.checkpoints += 1
        self._report.signed = checkpoint.size

    def _require_in_time(self, name: str, checkpoint: _StoredCheckpoint) -> None:
        """A key that gave way to another signs no later trees; of a lost history it may have, before the restore."""
        own = [one for one in self._keys if one.key.name == checkpoint.origin]
        if own and not any(one.covers(checkpoint.size) for one in own):
            until = max(one.until for one in own)
            what = (
                f"{name} was signed as {checkpoint.origin}, which ends with {until} leaves in this log: it was "
                "restored then, and what came later was lost; or someone else has the key"
            )
            raise _WrongError("checkpoint", what, self._confirmed + 1)

    def _end_block(self, position: int) -> None:
        self._compare()
        growth = self._tree.grown(self._hashes)
        for level, index, node in growth.nodes:
            query = "SELECT hash FROM tree_nodes WHERE level = ? AND idx = ?"
            row = self._connection.execute(query, (level, index)).fetchone()
            if row is None or row[0] != node:
                what = f"the stored node {index} of level {level}, complete at {position}, is not that of the rows"
                raise _WrongError("tree", what, self._positions[0])
        self._tree, self._hashes, self._positions = growth.tree, [], []
        self._progress(position, self._report.position)

    def _compare(self) -> None:
        """Compare the leaves in hand with the stored ones; names the first that differs."""
        found, stored = b"".join(self._hashes), self._stored_leaves(self._tree.size >> BLOCK_LEVEL)
        if found != stored[: len(found)]:
            for number, (position, leaf) in enumerate(zip(self._positions, self._hashes, strict=True)):
                if leaf != stored[number * HASH_BYTES : (number + 1) * HASH_BYTES]:
                    self.good = position - 1
                    raise _WrongError("log", self._differs(number, stored), position)
        if self._positions:
            self.good = self._positions[-1]

    @staticmethod
    def _differs(number: int, stored: bytes) -> str:
        if len(stored) < (number + 1) * HASH_BYTES:
            return "the row is not in the tree: it was added behind the archive's back, or the tree was cut"
        return "the row is not what was archived: payload, headers, subject, event ID or time changed"

    def _stored_leaves(self, block: int) -> bytes:
        if block == self._stored.size >> BLOCK_LEVEL:
            return self._stored.tail
        row = self._connection.execute("SELECT hashes FROM tree_leaves WHERE block = ?", (block,)).fetchone()
        return bytes(row[0]) if row else b""

    def _finish(self, checkpoint: _StoredCheckpoint | None, covered: int) -> None:
        self._compare()
        report = self._report
        tree = self._tree.grown(self._hashes).tree
        report.events = report.leaves - report.gaps
        report.root = tree.root().hex()
        if tree.size < self._stored.size or covered > report.position:
            what = f"rows are missing: the tree has {self._stored.size} leaves, the log {tree.size}"
            raise _WrongError("log", what, report.position + 1)
        if tree != self._stored or covered != report.position:
            raise _WrongError("tree", "the stored range is not that of the rows")
        if checkpoint is not None:
            what = (
                f"the checkpoint {checkpoint.source} speaks of {checkpoint.size} leaves, the log has {tree.size}: "
                "it was cut, or an older copy was put in its place"
            )
            raise _WrongError("checkpoint", what, report.position + 1)
        self._require_signature()

    def _require_signature(self) -> None:
        """The first leaf is signed at once, so a log that is older than the longest wait has a checkpoint."""
        leaves = self._report.leaves
        if not leaves or self._connection.execute("SELECT 1 FROM checkpoints").fetchone() is not None:
            return
        (created,) = self._connection.execute("SELECT created FROM log_state").fetchone()
        first = self._connection.execute("SELECT recorded_ns FROM log ORDER BY position LIMIT 1").fetchone()
        if time.time() - max(created, first[0] / 1e9 if first else 0) > CHECKPOINT_SECONDS:
            what = f"the log has {leaves:,} leaves and no signature: its checkpoints were removed, or nobody could sign"
            raise _WrongError("checkpoint", what, 1)


def _say_nothing(position: int, last: int) -> None:
    """No progress is wanted."""
