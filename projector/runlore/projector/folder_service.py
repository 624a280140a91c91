"""A service over one data folder: it holds the folder, says how it is, follows a stream, and stops when asked."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from types import FrameType

from runlore.projector.database import MachineErrors, OpenFiles
from runlore.projector.health import Health
from runlore.projector.logs import configure_logs, get_log
from runlore.projector.metrics import ProjectorMetrics
from runlore.projector.standby import taken
from runlore.projector.state import ASKED, ServiceState
from runlore.projector.surroundings import watch_surroundings
from runlore.schemas.errors import (
    CorruptLogError,
    NewerSchemaError,
    RunloreError,
    ServerUnavailableError,
    SettingsError,
    StreamDriftError,
    StreamMismatchError,
)
from runlore.schemas.settings import Settings
from runlore.store.folder import DataDir
from runlore.store.folder_home import require_no_copy
from runlore.store.folder_shard import require_own_shard
from runlore.store.private_files import read_struct, write_struct
from runlore.store.private_folder import prepare_folder
from runlore.store.records import ProjectorStatus
from runlore.store.witness_folder import require_no_witness
from runlore.wire.connect import Backoff

TICK_SECONDS = 1.0

EXIT_OK, EXIT_FAILED, EXIT_USAGE, EXIT_VERIFICATION = 0, 1, 2, 4


class FolderService:
    """Base of the services. `run` blocks; `stop` may be called from anywhere."""

    holder = "the projector"
    """What it calls itself to others that want the folder."""

    def __init__(self, settings: Settings, wait: bool = False) -> None:
        """`wait`: stand by while another one has the folder, and take over when it dies or hangs."""
        self._settings, self._data, self._wait = settings, DataDir(settings.data_dir), wait
        self.state = ServiceState()
        self._metrics = ProjectorMetrics(self.state, self._data)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_asked = threading.Event()
        self._stopping = asyncio.Event()
        self._stopped: str | None = None
        self._failure: RunloreError | None = None

    # -- what a service does -------------------------------------------------------------------------

    def _prepare(self) -> None:
        """Look at the folder, which is ours now. Raises where it is none for this service."""

    def _begin(self) -> None:
        """Begin with what needs no server."""

    async def _session(self) -> None:
        """Connect, and follow the stream until stopped. Raises ServerUnavailableError when the connection is lost."""
        raise NotImplementedError

    def _interrupt(self) -> None:
        """Let the session end after what it has in hand. Loop's thread only."""

    def _tick(self) -> None:
        """Once a second."""

    def _finish(self) -> None:
        """Let what runs beside the loop end. May be called twice."""

    def _close(self) -> None:
        """Close the files."""

    def _leave(self) -> None:
        """Leave the folder, whose status.json says why; the last thing that is done."""

    @property
    def failure(self) -> RunloreError | None:
        """Why it ended by itself, found elsewhere than in the session."""
        return self._failure

    # -- its life ------------------------------------------------------------------------------------

    def run(self) -> None:
        """Work until `stop`. An outage of NATS is waited out.

        Raises FolderBusyError when another one has the folder and this one may not wait; StreamMismatchError,
        StreamDriftError, CorruptLogError when going on could lose or mix history; errors of the machine (disk, lock,
        memory).
        """
        require_no_witness(self._data)
        prepare_folder(self._settings)
        with taken(self._data, self._wait, self._stop_asked, self.holder) as ours, contextlib.ExitStack() as closing:
            if not ours:
                return
            require_no_copy(self._data)
            require_own_shard(self._settings)
            self._prepare()
            self.state.follow(read_struct(self._data.status, ProjectorStatus))
            health = self._health()
            health.start()
            closing.callback(health.close)
            closing.callback(self._leave)
            closing.callback(self._write_status, health.url)
            closing.callback(self._close)
            closing.callback(self._finish)
            try:
                asyncio.run(self._run(health.url))
                self._finish()
                if (failure := self.failure) is not None:
                    raise failure
            except BaseException as error:  # whatever ends the service, status.json says why
                self._stopped = str(error) or type(error).__name__
                raise
            self._stopped = ASKED

    def stop(self) -> None:
        """Finish the current batch and return from `run`. Thread-safe; may be called more than once."""
        self._stop_asked.set()
        loop = self._loop
        if loop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended already
                loop.call_soon_threadsafe(self._stop)

    def _stop(self) -> None:
        self._stopping.set()
        self._interrupt()

    def _health(self) -> Health:
        try:
            return Health(self._settings, self.state, self._metrics)
        except SettingsError as error:
            self._stopped = str(error)
            self._write_status("")
            raise

    def _write_status(self, http: str) -> None:
        write_struct(self._data.status, self.state.status(http, self._stopped), shared=True)

    async def _run(self, http: str) -> None:
        self._loop = asyncio.get_running_loop()
        if self._stop_asked.is_set():
            self._stop()
        self._begin()
        ticks = asyncio.create_task(self._ticks(http))
        watch = asyncio.create_task(watch_surroundings(self._settings, self.state, self._stopping))
        try:
            await self._follow()
        finally:
            self._stopping.set()
            await asyncio.gather(ticks, watch)

    async def _follow(self) -> None:
        backoff = Backoff()
        while not self._stopping.is_set():
            before = self.state.connects
            try:
                await self._session()
            except ServerUnavailableError as error:
                self.state.disconnects += 1
                if self.state.connects != before:
                    backoff.reset()
                wait = backoff.wait()
                self.state.problems["connection"] = f"no stream: {error}"
                get_log().warning("no stream, trying again", reason=str(error), seconds=round(wait, 2))
                await self._pause(wait)

    async def _ticks(self, http: str) -> None:
        lock = OpenFiles(self._data.projector_lock)
        while not self._stopping.is_set():
            self.state.tick()
            self._tick()
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


def run_service(service: FolderService) -> int:
    """Run a service until SIGTERM or SIGINT; the exit code.

    0 asked to stop, 1 the machine or another service, 2 settings or a newer log, 4 the stream or the files are wrong.
    """
    configure_logs()
    _stop_on_signals(service)
    try:
        service.run()
    except (StreamMismatchError, StreamDriftError, CorruptLogError) as error:
        return _stopped(error, EXIT_VERIFICATION)
    except (SettingsError, NewerSchemaError) as error:
        return _stopped(error, EXIT_USAGE)
    except RunloreError as error:
        return _stopped(error, EXIT_FAILED)
    except MachineErrors as error:
        return _stopped(error, EXIT_FAILED)
    get_log().info("stopped", reason=ASKED, folded=service.state.folded)
    return EXIT_OK


def _stopped(error: Exception, code: int) -> int:
    get_log().error("stopped", error=type(error).__name__, reason=str(error), exit_code=code)
    return code


def _stop_on_signals(service: FolderService) -> None:
    def stop(number: int, frame: FrameType | None) -> None:
        service.stop()

    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
