"""The fold process: folds log.db into the live view, while live and while catching up alike.

It is a separate process, because SQLite hands the interpreter lock over at every row: archive and fold as
threads of one process spend a quarter of their time passing it back and forth (measured).

It reads wake-ups from stdin, whose end means stop, and writes a FoldReport a line to stdout: after every batch, and
every second, so that a process that hangs is told from one that has nothing to do.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path

import msgspec

from runlore.projector.archiving.archive import ArchiveReader
from runlore.projector.database import MachineErrors
from runlore.projector.fold.fold_report import FoldReport
from runlore.projector.logs import configure_logs, get_log
from runlore.projector.standby import end_holder
from runlore.projector.views.care import ViewCare
from runlore.projector.views.fitness import (
    AheadError,
    ErasedError,
    UnfitError,
    damage_is_unfit,
    live_view,
    require_nothing_erased,
)
from runlore.projector.views.generations import make_current, remove_old_views, view_lock
from runlore.projector.views.look_through import LookThrough, Rebuilds
from runlore.projector.views.rebuild import BATCH, rebuild_view
from runlore.projector.views.view import View
from runlore.schemas.errors import CorruptLogError, FolderBusyError, NotFoundError, RunloreError
from runlore.store.folder import DataDir
from runlore.store.lock import FolderLock

IDLE_SECONDS = 1.0
BEAT_SECONDS = 1.0
AHEAD_SECONDS = 5.0
"""A view that is ahead of log.db is rebuilt when log.db did not grow for this long."""

TAKE_OVER_SECONDS = 20.0
"""The fold of a killed projector finishes its batch before it notices; wait for it this long."""


Say = Callable[[FoldReport], None]


class FoldWorker:
    """Folds until stopped, and reports every batch."""

    def __init__(self, data: DataDir, say: Say) -> None:
        self._data, self._say = data, say
        self._wake = threading.Event()
        self._stopping = False
        self._care = ViewCare(data)
        self._unfit: UnfitError | None = None
        """Reason the last view cannot be folded further."""
        self._rebuilds = Rebuilds()
        self._moved = time.monotonic()

    def busy(self) -> float:
        """Seconds since the last step: a batch, a portion of a rebuild, or a look whether there is more."""
        return time.monotonic() - self._moved

    def wake(self) -> None:
        """Tell the worker that log.db has more rows."""
        self._wake.set()

    def stop(self) -> None:
        """Finish the batch in hand, checkpoint, and return from `work`."""
        self._stopping = True
        self._wake.set()

    def work(self) -> None:
        """Fold until `stop`. Raises what makes going on impossible; nothing of that batch is written."""
        with _alone(self._data):
            log = ArchiveReader(self._data.log)
            try:
                while not self._stopping:
                    self._fold_generation(log)
            except _StoppedError:
                pass
            finally:
                log.close()

    def _fold_generation(self, log: ArchiveReader) -> None:
        """Fold into the live view until stopped, until another one is live, or until it cannot be folded on."""
        view = self._fit_view(log)
        look = LookThrough(view.path, self._found_damage)
        try:
            with damage_is_unfit():
                self._fold_all(log, view, look)
                view.checkpoint()
        except UnfitError as error:
            self._unfit = error
        finally:
            look.close()
            view.close()

    def _fit_view(self, log: ArchiveReader) -> View:
        """Open the live view, rebuilt first for as long as it cannot be folded on."""
        while True:
            try:
                if self._unfit is not None:
                    raise self._unfit
                return live_view(self._data, log)
            except AheadError as error:
                if not self._caught_up(log, error.position):
                    self._rebuild(str(error))
            except UnfitError as error:
                self._unfit = None
                self._rebuild(str(error), counts=not isinstance(error, ErasedError))

    def _caught_up(self, log: ArchiveReader, position: int) -> bool:
        """Wait while log.db grows: once it reaches the view's position, no rebuild is needed."""
        before, since = log.position, time.monotonic()
        while before < position and time.monotonic() - since < AHEAD_SECONDS:
            self._moved = time.monotonic()
            self._wake.clear()
            if self._stopping:
                raise _StoppedError
            self._wake.wait(IDLE_SECONDS)
            if (now := log.position) > before:
                before, since = now, time.monotonic()
        return before >= position

    def _rebuild(self, reason: str, counts: bool = True) -> None:
        """`counts`: as a sign that something damages views again and again."""
        if self._stopping:
            raise _StoppedError
        get_log().warning("rebuilding the view from log.db", reason=reason)
        try:
            rebuild_view(self._data, self._rebuilt_to, compare=False)
        except FolderBusyError:
            self._wake.wait(IDLE_SECONDS)  # somebody else rebuilds it: look at the result
            return
        if counts:
            self._rebuilds.count(reason)
        remove_old_views(self._data)

    def _found_damage(self, what: str) -> None:
        self._unfit = UnfitError(what)
        self._wake.set()

    def _rebuilt_to(self, position: int, last: int) -> None:
        self._moved = time.monotonic()
        self._say(FoldReport(folded=position))
        if self._stopping:
            raise _StoppedError  # the unfinished generation was never live

    def _fold_all(self, log: ArchiveReader, view: View, look: LookThrough) -> None:
        """Fold until stopped, or until another generation is live. Raises UnfitError."""
        position, quarantined = view.position, view.quarantined
        self._say(FoldReport(folded=position, quarantined=quarantined, running=True))
        while not self._stopping:
            self._moved = time.monotonic()
            self._wake.clear()
            require_nothing_erased(view, log)
            rows = log.read(position, BATCH)
            started = time.perf_counter()
            with view_lock(self._data):
                if not self._is_live(view):
                    return
                result = view.fold(rows) if rows else None
            self._care.care_for(view)
            look.take_if_due()
            if result is None:
                view.follow_values()  # large batches left them further behind
                self._wake.wait(IDLE_SECONDS)
                continue
            seconds = time.perf_counter() - started
            position, quarantined = result.position, quarantined + result.quarantined
            self._say(
                FoldReport(folded=position, quarantined=quarantined, running=True, events=len(rows), seconds=seconds)
            )

    def _is_live(self, view: View) -> bool:
        """Return whether this view is live; if CURRENT names none, write it again. Raises UnfitError."""
        if self._unfit is not None:
            raise self._unfit
        if not view.in_place():
            raise UnfitError(f"{view.path.name} was removed or replaced while it was open")
        try:
            current = self._data.current_view()
            if current.exists():
                return current == view.path
            wrong = f"it named {current.name}, which is missing"
        except (NotFoundError, CorruptLogError) as error:
            wrong = str(error)
        get_log().warning("CURRENT was lost; it names the live view again", view=view.path.name, reason=wrong)
        make_current(self._data, view.path)
        return True


class _StoppedError(Exception):
    """Leaves a rebuild that is no longer wanted."""


@contextlib.contextmanager
def _alone(data: DataDir) -> Generator[None]:
    path = data.projection / "fold.lock"
    lock = FolderLock(path, "the projector's fold")
    deadline = time.monotonic() + TAKE_OVER_SECONDS
    while not lock.try_acquire():
        if time.monotonic() > deadline:
            # Whoever started us has the folder, so the projector of that one is gone.
            if not end_holder(path, "its projector is gone"):
                raise FolderBusyError(f"{lock.holder()} still folds into {data.projection}: stop it first")
            deadline = time.monotonic() + TAKE_OVER_SECONDS
        time.sleep(0.02)
    try:
        yield
    finally:
        lock.release()


def _listen(worker: FoldWorker) -> None:
    while os.read(sys.stdin.fileno(), 65_536):
        worker.wake()
    worker.stop()


def _write(report: FoldReport) -> None:
    os.write(sys.stdout.fileno(), msgspec.json.encode(report) + b"\n")


def _beat(worker: FoldWorker) -> None:
    with contextlib.suppress(BrokenPipeError):
        while True:
            _write(FoldReport(beat=True, busy=worker.busy()))
            time.sleep(BEAT_SECONDS)


def main() -> int:
    """The process; its argument is the data folder. Only `FoldStage` starts it."""
    for number in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C reaches us too, but the projector decides
        signal.signal(number, signal.SIG_IGN)
    configure_logs()
    worker = FoldWorker(DataDir(Path(sys.argv[1])), _write)
    for side in (_listen, _beat):
        threading.Thread(target=side, args=(worker,), daemon=True).start()
    try:
        worker.work()
    except BrokenPipeError:
        return 0  # the projector is gone
    except RunloreError as error:
        return _ended(error)
    except MachineErrors as error:
        return _ended(error)
    return 0


def _ended(error: Exception) -> int:
    _write(FoldReport(error=type(error).__name__, message=str(error)))
    return 1
