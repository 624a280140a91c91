"""The fold stage: a thread that folds log.db into the live view, while live and while catching up alike."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from runlore.projector.archive import ArchiveReader
from runlore.projector.logs import get_log
from runlore.projector.metrics import Metrics
from runlore.projector.rebuild import BATCH, rebuild_view, remove_old_views
from runlore.projector.state import ServiceState
from runlore.projector.view import View
from runlore.schemas.layout import DataDir

IDLE_SECONDS = 1.0
WAL_BYTES = 256 * 1024 * 1024
"""A write-ahead log above this size (a reader held it) is emptied by force, once in a while."""

CHECKPOINT_SECONDS = 30.0


class FoldStage:
    """Folds until stopped. When it cannot go on, `failure` says why, and `on_failure` is called."""

    def __init__(
        self, data: DataDir, state: ServiceState, metrics: Metrics, on_failure: Callable[[], None]
    ) -> None:
        self._data, self._state, self._metrics, self._on_failure = data, state, metrics, on_failure
        self._wake = threading.Event()
        self._stopping = False
        self._checkpointed = time.monotonic()
        self._thread = threading.Thread(target=self._supervised, name="runlore-fold")
        self.failure: BaseException | None = None

    def start(self) -> None:
        self._thread.start()

    def wake(self) -> None:
        """There is more in log.db."""
        self._wake.set()

    def stop(self) -> None:
        """Finish the batch in hand, checkpoint, and end."""
        self._stopping = True
        self._wake.set()
        self._thread.join()

    def _supervised(self) -> None:
        try:
            self._work()
        except _StoppedError:
            pass
        except BaseException as error:  # noqa: BLE001 -- whatever ends this thread must end the service
            self.failure = error
            self._on_failure()
        finally:
            self._state.fold_running = False

    def _work(self) -> None:
        log = ArchiveReader(self._data.log)
        try:
            view = self._open_view(log)
            try:
                self._fold_all(log, view)
            finally:
                view.checkpoint()
                view.close()
        finally:
            log.close()

    def _open_view(self, log: ArchiveReader) -> View:
        view = View.open_or_create(self._data, log.epoch)
        ahead = view.position > log.position
        if view.up_to_date and not ahead:
            return view
        # Ahead: a power cut took the end of log.db, and the view can no longer show where it came from.
        view.close()
        get_log().warning(
            "rebuilding the view", reason="ahead of log.db" if ahead else "made by another version"
        )
        rebuild_view(self._data, self._rebuilt_to)
        remove_old_views(self._data)
        return View.open_or_create(self._data, log.epoch)

    def _rebuilt_to(self, position: int, last: int) -> None:
        self._state.folded = position
        if self._stopping:
            raise _StoppedError  # the unfinished generation was never live

    def _fold_all(self, log: ArchiveReader, view: View) -> None:
        state, position = self._state, view.position
        state.folded, state.quarantined, state.fold_running = position, view.quarantined, True
        while not self._stopping:
            self._wake.clear()
            rows = log.read(position, BATCH)
            if not rows:
                self._wake.wait(IDLE_SECONDS)
                continue
            with self._metrics.fold_seconds.time():
                result = view.fold(rows)
            position = state.folded = result.position
            state.quarantined += result.quarantined
            state.events_folded += len(rows)
            self._bound_wal(view)

    def _bound_wal(self, view: View) -> None:
        if view.wal_bytes() > WAL_BYTES and time.monotonic() - self._checkpointed > CHECKPOINT_SECONDS:
            view.checkpoint()
            self._checkpointed = time.monotonic()


class _StoppedError(Exception):
    """Leaves a rebuild that is no longer wanted."""
