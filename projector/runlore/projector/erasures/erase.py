"""Erasing in a data folder: the key that signs its log signs a statement, and the projector does the rest."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Generator, Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from runlore.projector.archiving.archive import ArchiveReader
from runlore.projector.audit.key_history import current_key, read_changes, spread
from runlore.projector.audit.opening import open_audited
from runlore.projector.audit.signers import Signing, key_source
from runlore.projector.audit.statements import public_key_of, require_none_pending
from runlore.projector.erasures.holds import InForce, in_force, require_not_held
from runlore.projector.erasures.left import snapshot_holds, what_is_left
from runlore.projector.erasures.plan import ErasurePlan, Sources, Wanted, plan_erasure, wanted_at, wanted_of
from runlore.projector.erasures.selection import EVERYTHING, Selection
from runlore.schemas.errors import ArgumentError, NotFoundError, RunloreError, SettingsError
from runlore.schemas.paths import PathParts
from runlore.schemas.references import EntityRef
from runlore.schemas.settings import Settings
from runlore.store.audit.erasure import ErasedEvent, Erasure, redaction_of, statements_of
from runlore.store.folder import DataDir
from runlore.store.folder_shard import log_origin
from runlore.store.lock import FolderLock
from runlore.store.private_files import write_private
from runlore.store.records import Erasing
from runlore.store.replica_folder import no_log
from runlore.store.sqlite import open_reader

LOOK_SECONDS = 0.1
LOCK_SECONDS = 10.0
SNAPSHOT_SECONDS = 20.0
"""How long to wait for the projector to replace snapshots for replicas, before saying that they hold the content."""
_NOT_YET = "the projector has not done it yet; it will, once it runs: `runlore doctor`"
_LONGEST = 1000
"""Characters of a line of a statement."""


class Target(NamedTuple):
    """What is to be erased: content of an entity, of all its versions without one, or all of one event."""

    about: EntityRef | int | str
    """A reference, or the position or ID of an event."""
    selection: Selection

    @classmethod
    def of(cls, about: EntityRef | int | str, keys: Iterable[PathParts] = (), what: Iterable[str] = ()) -> Target:
        """`keys`: paths of values, `what`: kinds of content; without both all metadata. Of an event everything."""
        return cls(about, Selection.of(what, keys) if isinstance(about, EntityRef) else EVERYTHING)

    def wanted(self, sources: Sources, project: str) -> list[Wanted]:
        """Raises NotFoundError where there is nothing to erase."""
        if not isinstance(self.about, EntityRef):
            return wanted_at(sources, self.about)
        found = wanted_of(sources, project, self.about, self.selection)
        if not found:
            raise NotFoundError(f"{self.about} has no value there, or it is erased already")
        return found


class ErasingFolder:
    """A projector's folder, in which whoever may read the key that signs the log can erase."""

    def __init__(self, settings: Settings) -> None:
        """Raises NotFoundError where the folder has no log."""
        self.settings, self.data = settings, DataDir(settings.data_dir)
        if not self.data.log.exists():
            raise no_log(self.data) or NotFoundError(
                f"no log at {self.data.log}: values are erased in the projector's folder"
            )

    @contextlib.contextmanager
    def locked(self) -> Generator[None]:
        """Keep others from signing: a hold must not come between the look for one and the erasure."""
        lock = FolderLock(self.data.key_lock, "a command that signs")
        lock.acquire(LOCK_SECONDS)
        try:
            yield
        finally:
            lock.release()

    def sources(self) -> Sources:
        """The live view and the log."""
        return Sources(self.data.current_view(), self.data.log)

    def in_force(self) -> InForce:
        """The rules and holds that the log's own keys have signed. Raises NotFoundError without a public key."""
        base = log_origin(self.data, self._epoch())
        with contextlib.closing(open_audited(self.data.log)) as log:
            changes = read_changes(log)
            own = public_key_of(self.data, key_source(self.settings), base)
            return in_force(log, spread([own, current_key(own, changes)], changes))

    def plan(self, target: Target, reason: str) -> ErasurePlan:
        """What an erasure would take. Raises HeldError where a hold keeps it, NotFoundError where there is nothing."""
        with self.sources() as sources:
            wanted = target.wanted(sources, self.settings.project)
            require_not_held(wanted, self.in_force().holds)
            return plan_erasure(sources, wanted, reason)

    def erase(
        self, target: Target, reason: str, who: str, timeout: float, before: Callable[[], object] = lambda: None
    ) -> ErasurePlan:
        """Erase, and wait until it is done. `before`: called when nothing speaks against it, and may raise.

        Raises as `plan` does, SettingsError where the key is not here, RunloreError when no projector has done it yet.
        """
        require_lines(reason, who)
        with self.locked():
            plan = self.plan(target, reason)
            self.signer()
            before()
            self.carry_out(plan, reason, who, timeout)
        return plan

    def result(self, plan: ErasurePlan, *, erased: bool) -> Erasing:
        """What is to be told of a plan, or of an erasure: then also where the content still is."""
        if erased and snapshot_holds(self.data):
            with contextlib.suppress(RunloreError):
                wait_until(lambda: not snapshot_holds(self.data), SNAPSHOT_SECONDS, "")
        positions = sorted({event.position for event in plan.events})
        left = what_is_left(self.data, positions) if erased else []
        return Erasing(
            erased=erased, events=positions, values=plan.values, about=plan.about, unsalted=plan.unsalted, left=left
        )

    def carry_out(self, plan: ErasurePlan, reason: str, who: str, timeout: float) -> None:
        """Sign what a plan names, statement by statement, and wait for each. The caller holds the lock."""
        for erasure in statements_of(reason, who, plan.events):
            self._put(erasure, timeout)
        wait_until(self._shown, timeout, _NOT_YET)

    def signer(self) -> Signing:
        """The key that signs the log now. Raises NotFoundError, SettingsError where this folder does not have it."""
        source, base = key_source(self.settings), log_origin(self.data, self._epoch())
        with contextlib.closing(open_audited(self.data.log)) as log:
            changes = read_changes(log)
        own = source.load(base).verifier
        now = current_key(own, changes)
        if now.public != own.public:
            raise SettingsError(f"{source} is not the key that signs this log now, which is {now.vkey}")
        return source.load(now.name)

    def leave(self, path: Path, note: str, done: Callable[[], bool], timeout: float) -> None:
        """Leave a signed note for the projector, and wait until it is done. Raises SettingsError, RunloreError."""
        require_none_pending(self.data)
        write_private(path, note.encode())
        wait_until(lambda: not path.exists() and done(), timeout, _NOT_YET)

    def _put(self, erasure: Erasure, timeout: float) -> None:
        note = erasure.signed(self.signer())
        self.leave(self.data.erasure, note, lambda: self._executed(erasure.events), timeout)

    def _executed(self, events: Sequence[ErasedEvent]) -> bool:
        with contextlib.closing(open_reader(self.data.log)) as log:
            found = [redaction_of(log, event.position) for event in events]
        return all(
            one is not None and one.redacted_hash == event.redacted_hash
            for one, event in zip(found, events, strict=True)
        )

    def _shown(self) -> bool:
        """Return whether the view was made again since."""
        with (
            contextlib.closing(ArchiveReader(self.data.log)) as reader,
            contextlib.closing(open_reader(self.data.current_view())) as view,
        ):
            return int(view.execute("PRAGMA user_version").fetchone()[0]) == reader.erased_at

    def _epoch(self) -> str:
        with contextlib.closing(ArchiveReader(self.data.log)) as reader:
            return reader.epoch


def wait_until(done: Callable[[], bool], timeout: float, otherwise: str) -> None:
    """Wait for something. Raises RunloreError with this text when the time is over."""
    deadline = time.monotonic() + timeout
    while not done():
        if time.monotonic() > deadline:
            raise RunloreError(otherwise)
        time.sleep(LOOK_SECONDS)


def require_lines(*texts: str) -> None:
    """Raise ArgumentError where a reason or a person is not one line of text."""
    if not all(text.strip() and text.isprintable() and len(text) <= _LONGEST for text in texts):
        raise ArgumentError(f"a reason and a person are one line of text each, of at most {_LONGEST:,} characters")
