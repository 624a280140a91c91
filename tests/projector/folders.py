"""Small data folders without a server: a signed log, a view, and a fold that runs in a thread."""

from __future__ import annotations

import contextlib
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

from nats_tools import until

from runlore.projector.archiving.archive import Archive
from runlore.projector.audit.signing import CheckpointWriter
from runlore.projector.fold.fold_report import FoldReport
from runlore.projector.fold.fold_worker import FoldWorker
from runlore.projector.views.rebuild import rebuild_view
from runlore.store.folder import DataDir
from runlore.store.log_rows import Received
from tests.events import EPOCH, LogBuilder

EVENTS = 400


def some_log(count: int = EVENTS, note: str = "") -> LogBuilder:
    log = LogBuilder()
    for number in range(count):
        log.log(f"model:m{number % 7}@1", {"n": number, "g": {"x": number / 3, "text": f"word{number} {note}"}})
    return log


def append(data: DataDir, log: LogBuilder, after: int = 0, epoch: str = EPOCH, sign: bool = True) -> None:
    """Archive what a builder made after a position, and sign it."""
    archive = Archive.open(data.log, epoch)
    archive.append([Received(*row[:4], b"", row.payload) for row in log.rows[after:]])
    if sign:
        CheckpointWriter(archive, data.checkpoint_key).sign()
    archive.close()


def make_folder(root: Path, log: LogBuilder, epoch: str = EPOCH) -> DataDir:
    """A folder whose log and view hold what a builder made."""
    data = DataDir(root)
    root.mkdir(parents=True)
    append(data, log, epoch=epoch)
    rebuild_view(data)
    return data


def copy_folder(template: DataDir, root: Path) -> DataDir:
    shutil.copytree(template.root, root)
    return DataDir(root)


class Folding:
    """A fold worker in a thread; `error` is what ended it."""

    def __init__(self, data: DataDir) -> None:
        self.folded, self.error = 0, None
        self.worker = FoldWorker(data, self._hear)
        self._thread = threading.Thread(target=self._work)
        self._thread.start()

    def _work(self) -> None:
        try:
            self.worker.work()
        except Exception as error:  # whatever ends the worker, the test looks at it
            self.error: Exception | None = error

    def _hear(self, report: FoldReport) -> None:
        self.folded = report.folded if report.running else 0

    def reached(self, position: int) -> None:
        self.worker.wake()
        until(lambda: self.folded == position or self.error is not None)
        if self.error is not None:
            raise self.error

    def stop(self) -> None:
        self.worker.stop()
        self._thread.join()


@contextlib.contextmanager
def folding(data: DataDir) -> Iterator[Folding]:
    fold = Folding(data)
    try:
        yield fold
    finally:
        fold.stop()
