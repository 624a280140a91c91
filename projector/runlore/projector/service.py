"""The projector: one process that archives the stream and folds the archive."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from types import FrameType

from runlore.projector.archiving.archive import ArchiveReader
from runlore.projector.archiving.archive_stage import ArchiveStage
from runlore.projector.database import MachineErrors, OpenFiles
from runlore.projector.fold.fold_stage import FoldStage
from runlore.projector.health import Health
from runlore.projector.logs import configure_logs, get_log
from runlore.projector.metrics import ProjectorMetrics
from runlore.projector.standby import taken
from runlore.projector.state import ASKED, ServiceState
from runlore.projector.surroundings import watch_surroundings
from runlore.schemas.errors import (
    CorruptLogError,
    NewerSchemaError,
    NotFoundError,
    RunloreError,
    ServerUnavailableError,
    SettingsError,
    StreamDriftError,
    StreamMismatchError,
)
from runlore.schemas.settings import Settings
from runlore.store.folder import DataDir
from runlore.store.folder_home import require_no_copy
from runlore.store.private_files import read_struct, write_struct
from runlore.store.private_folder import prepare_folder
from runlore.store.records import ProjectorStatus
from runlore.wire.connect import Backoff

TICK_SECONDS = 1.0

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_VERIFICATION = 0, 1, 2, 4


class Projector:
    """The service over one data folder. `run` blocks; `stop` may be called from anywhere."""

    def __init__(self, settings: Settings, wait: bool = False) -> None:
        """`wait`: stand by while another projector has the folder, and take over when it dies or hangs."""
        self._settings, self._data, self._wait = settings, DataDir(settings.data_dir), wait
        self.state = ServiceState()
        self._metrics = ProjectorMetrics(self.state, self._data)
        self._archive = ArchiveStage(settings, self.state, self._metrics, self._archived)
        self._fold = FoldStage(self._data, self.state, self._metrics, self.stop)
        self._fold_started = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_asked = threading.Event()
        self._stopping = asyncio.Event()
        self._stopped: str | None = None
        self._failure: RunloreError | None = None

    def run(self) -> None:
        """Archive and fold until `stop`. An outage of NATS is waited out.

        Raises FolderBusyError when another projector has the folder and this one may not wait; StreamMismatchError,
        StreamDriftError, CorruptLogError when going on could lose or mix history; errors of the machine (disk, lock,
        memory).
        """
        prepare_folder(self._settings)
        with taken(self._data, self._wait, self._stop_asked) as ours, contextlib.ExitStack() as closing:
            if not ours:
                return
            require_no_copy(self._data)
            self.state.follow(read_struct(self._data.status, ProjectorStatus))
            health = self._health()
            health.start()
            closing.callback(health.close)
            closing.callback(self._write_status, health.url)
            closing.callback(self._archive.close)
            closing.callback(self._stop_fold)
            try:
                asyncio.run(self._run(health.url))
                self._stop_fold()
                if (failure := self._failure or self._fold.failure) is not None:
                    raise failure
            except BaseException as error:  # whatever ends the service, status.json says why
                self._stopped = str(error) or type(error).__name__
                raise
            self._stopped = ASKED

    def _health(self) -> Health:
        try:
            return Health(self._settings, self.state, self._metrics)
        except SettingsError as error:
            self._stopped = str(error)
            self._write_status("")
            raise

    def stop(self) -> None:
        """Finish the current batch and return from `run`. Thread-safe; may be called more than once."""
        self._stop_asked.set()
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        self._stopping.set()
        self._archive.stop()

    def _archived(self) -> None:
        if not self._fold_started:
            self._fold_started = True
            self._fold.start()
        self._fold.wake()

    def _stop_fold(self) -> None:
        if self._fold_started:
            self._fold.stop()

    def _write_status(self, http: str) -> None:
        write_struct(self._data.status, self.state.status(http, self._stopped), shared=True)

    async def _run(self, http: str) -> None:
        self._loop = asyncio.get_running_loop()
        if self._stop_asked.is_set():
            self._stop()
        self._archive.look_back()
        self._fold_what_is_there()
        ticks = asyncio.create_task(self._tick(http))
        watch = asyncio.create_task(watch_surroundings(self._settings, self.state, self._stopping))
        try:
            await self._follow()
        finally:
            self._stopping.set()
            await asyncio.gather(ticks, watch)

    def _fold_what_is_there(self) -> None:
        """Catch up from log.db without waiting for NATS."""
        with contextlib.suppress(NotFoundError), contextlib.closing(ArchiveReader(self._data.log)) as log:
            self.state.archived = log.position
            if log.position > 0:  # an empty log may still adopt another stream
                self._archived()

    async def _follow(self) -> None:
        backoff = Backoff()
        while not self._stopping.is_set():
            before = self.state.connects
            try:
                await self._archive.session()
            except ServerUnavailableError as error:
                self.state.disconnects += 1
                if self.state.connects != before:
                    backoff.reset()
                wait = backoff.wait()
                self.state.problems["connection"] = f"no stream: {error}"
                get_log().warning("no stream, trying again", reason=str(error), seconds=round(wait, 2))
                await self._pause(wait)

    async def _tick(self, http: str) -> None:
        lock = OpenFiles(self._data.projector_lock)
        while not self._stopping.is_set():
            self.state.tick()
            if self._fold_started:
                self._fold.tick()
            if lock.misplaced():
                self._failure = RunloreError(
                    f"{self._data.projector_lock} was removed or replaced: it no longer keeps another projector away. "
                    "Nothing is lost; start the projector again"
                )
                self.stop()
                return
            await asyncio.to_thread(self._write_status, http)
            await self._pause(TICK_SECONDS)

    async def _pause(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._stopping.wait()
        except TimeoutError:
            pass


def run_projector(settings: Settings, wait: bool = False) -> int:
    """Run the projector until SIGTERM or SIGINT; the exit code. `wait`: stand by while another one has the folder.

    0 asked to stop, 1 the machine or another projector, 2 settings or a newer log, 4 the stream or the files are wrong.
    """
    configure_logs()
    projector = Projector(settings, wait)
    _stop_on_signals(projector)
    try:
        projector.run()
    except (StreamMismatchError, StreamDriftError, CorruptLogError) as error:
        return _stopped(error, EXIT_VERIFICATION)
    except (SettingsError, NewerSchemaError) as error:
        return _stopped(error, EXIT_USAGE)
    except RunloreError as error:
        return _stopped(error, EXIT_FAILED)
    except MachineErrors as error:
        return _stopped(error, EXIT_FAILED)
    get_log().info("stopped", reason=ASKED, folded=projector.state.folded)
    return EXIT_OK


def _stopped(error: Exception, code: int) -> int:
    get_log().error("stopped", error=type(error).__name__, reason=str(error), exit_code=code)
    return code


def _stop_on_signals(projector: Projector) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        projector.stop()

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
