"""The projector: one process that archives the stream and folds the archive."""

from __future__ import annotations

import contextlib

from runlore.projector.archiving.archive import ArchiveReader
from runlore.projector.archiving.archive_stage import ArchiveStage
from runlore.projector.fold.fold_stage import FoldStage
from runlore.projector.folder_service import FolderService, run_service
from runlore.projector.snapshots.snapshot_stage import SnapshotStage
from runlore.schemas.errors import NotFoundError, RunloreError
from runlore.schemas.settings import Settings
from runlore.store.replica_folder import require_no_replica


class Projector(FolderService):
    """The service over one data folder: archive, fold, and snapshots for replicas."""

    def __init__(self, settings: Settings, wait: bool = False) -> None:
        super().__init__(settings, wait)
        self._archive = ArchiveStage(settings, self.state, self._metrics, self._archived)
        self._fold = FoldStage(self._data, self.state, self._metrics, self.stop)
        self._snapshots = SnapshotStage(settings, self.state)
        self._fold_started = False

    @property
    def failure(self) -> RunloreError | None:
        return self._failure or self._fold.failure

    def _prepare(self) -> None:
        require_no_replica(self._data)

    def _begin(self) -> None:
        self._archive.look_back()
        self._fold_what_is_there()

    def _fold_what_is_there(self) -> None:
        """Catch up from log.db without waiting for NATS."""
        with contextlib.suppress(NotFoundError), contextlib.closing(ArchiveReader(self._data.log)) as log:
            self.state.archived = log.position
            if log.position > 0:  # an empty log may still adopt another stream
                self._archived()

    def _archived(self) -> None:
        if not self._fold_started:
            self._fold_started = True
            self._fold.start()
        self._fold.wake()

    async def _session(self) -> None:
        await self._archive.session()

    def _interrupt(self) -> None:
        self._archive.stop()

    def _tick(self) -> None:
        if self._fold_started:
            self._fold.tick()
        self._snapshots.tick()

    def _finish(self) -> None:
        self._snapshots.close()
        if self._fold_started:
            self._fold.stop()

    def _close(self) -> None:
        self._archive.close()


def run_projector(settings: Settings, wait: bool = False) -> int:
    """Run the projector until SIGTERM or SIGINT; the exit code. `wait`: stand by while another one has the folder."""
    return run_service(Projector(settings, wait))
