"""The embedded stack: server, stream, outbox keeper, projector and readers as one tree that stops in order."""

from __future__ import annotations

import asyncio
import http.client
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from runlore.cli.children import Child, Reviver, child_environment
from runlore.cli.heartbeat import Heartbeat
from runlore.cli.server import EmbeddedServer
from runlore.cli.server_watch import ServerWatch, has_room
from runlore.cli.side_child import SideChild
from runlore.producer import OutboxKeeper
from runlore.schemas.errors import RunloreError, ServerUnavailableError, SettingsError, StreamMismatchError
from runlore.schemas.settings import Settings, settings_environment
from runlore.store.folder import DataDir
from runlore.store.folder_home import require_no_copy
from runlore.store.lock import FolderLock
from runlore.store.page_tokens import page_link
from runlore.store.private_files import read_struct
from runlore.store.private_folder import prepare_folder
from runlore.store.records import DashboardStatus, ProjectorStatus
from runlore.store.replica_folder import require_no_replica
from runlore.store.witness_folder import require_no_witness
from runlore.wire.connect import connect, server_options
from runlore.wire.sign_in import addresses

ORPHAN_SECONDS = 10.0
READY_SECONDS = 60.0
PROJECTOR_STOP_SECONDS = 20.0
SIDE_STOP_SECONDS = 5.0
DASHBOARD_START_SECONDS = 10.0
USAGE, VERIFICATION_FAILED = 2, 4
"""Exit codes of a child that starting it again cannot change: wrong settings; log and stream contradict each other."""

_POLL_SECONDS = 0.05

Note = Callable[[str], None]


class EmbeddedStack:
    """Everything `runlore up` runs for one data folder. Enter it from the main thread.

    With `settings.url` there is no server of our own, only keeper and projector beside that one.
    """

    def __init__(
        self,
        settings: Settings,
        note: Note,
        projector_log: Path | None = None,
        with_dashboard: bool = False,
        with_queries: bool = False,
    ) -> None:
        self.settings = settings
        self._note = note
        self._data = DataDir(settings.data_dir)
        self._lock = FolderLock(self._data.up_lock, "`runlore up`")
        self._server = None if settings.url else EmbeddedServer(self._data, settings.nats_server)
        self._watch = ServerWatch(self._data)
        self._keeper = OutboxKeeper(settings)
        environment = child_environment(settings_environment(settings))

        def child(module: str) -> Child:
            return Child([sys.executable, "-m", module], environment, projector_log)

        self._projector = child("runlore.projector")
        self._dashboard = SideChild("the page", child("runlore.dashboard")) if with_dashboard else None
        self._queries = SideChild("the query service", child("runlore.query.remote")) if with_queries else None
        self._server_reviver, self._projector_reviver = Reviver(), Reviver()
        self._projector_heartbeat = Heartbeat()
        self._keeping = False
        self._noted = ""

    def __enter__(self) -> EmbeddedStack:
        require_no_witness(self._data)
        prepare_folder(self.settings)
        require_no_replica(self._data)
        self._lock.acquire()
        try:
            self._start()
        except BaseException:  # Ctrl-C too: no child may be left
            self.close()
            raise
        return self

    def _start(self) -> None:
        require_no_copy(self._data)
        self._wait_for_orphan()
        if self._server is not None:
            self._server.start()
            asyncio.run(_make_stream(self.settings))
            self._watch.start()
        self._keeper.start()
        self._keeping = True
        self._projector.start()
        if self._dashboard is not None:
            self._dashboard.start()

    def _wait_for_orphan(self) -> None:
        """Let the projector of a killed `up` notice that, and end. Raises FolderBusyError while another one runs."""
        if self._data.projector_lock.exists():
            lock = FolderLock(self._data.projector_lock, "runlore up")
            lock.acquire(ORPHAN_SECONDS)
            lock.release()

    def __exit__(self, *_: Any) -> None:
        self.close()

    def close(self) -> None:
        """Stop the readers, the projector, the keeper, then the server; harmless when they do not run."""
        for side in (self._dashboard, self._queries):
            if side is not None:
                side.stop(SIDE_STOP_SECONDS)
        self._projector.stop(PROJECTOR_STOP_SECONDS)
        if self._keeping:
            self._keeper.stop()
            self._keeping = False
        self._watch.stop()
        try:
            if self._server is not None:
                self._server.close()
        finally:
            self._lock.release()

    @property
    def address(self) -> str:
        """The NATS server's address, without secrets."""
        return public_address(self.settings)

    @property
    def http(self) -> str | None:
        """Base address of the projector's health endpoints, once it has said it."""
        status = self._status()
        return status.http or None if status else None

    @property
    def page(self) -> str | None:
        """Address of the web page, once it has said it; None without one."""
        status = read_struct(self._data.dashboard, DashboardStatus)
        ours = status is not None and self._dashboard is not None and status.pid == self._dashboard.pid
        return status.http or None if status is not None and ours else None

    def wait_page(self, stop: Callable[[float], bool]) -> str | None:
        """A link that opens the page, waited for a little; None without one, or when it does not start.

        Raises SettingsError when its address cannot be had.
        """
        late = time.monotonic() + DASHBOARD_START_SECONDS
        while self._dashboard is not None and self.page is None and time.monotonic() < late:
            if self._dashboard.exit_code() is not None or stop(_POLL_SECONDS):
                break
        self._require_page_settings()
        return None if self.page is None else page_link(self.page, self.settings)

    def wait_ready(self, stop: Callable[[float], bool], seconds: float | None = READY_SECONDS) -> bool:
        """Wait until the projector says it is ready; False when `stop(seconds)` said to stop first.

        Raises the projector's reason when it ends, ServerUnavailableError when time is up.
        """
        started = time.monotonic()
        told = False
        while not self.ready():
            code = self._projector.exit_code()
            if code is not None:
                raise self._ended(code)
            waited = time.monotonic() - started
            if seconds is not None and waited > seconds:
                raise ServerUnavailableError(f"the projector is not ready after {seconds:g} s: `runlore doctor`")
            if waited > 2 and not told:
                told = True
                self._note(f"waiting for the projector and NATS at {self.address} ...{self._reason()}")
            if stop(_POLL_SECONDS):
                return False
        if self._queries is not None:
            self._queries.start()  # not before: the projector starts faster alone
        return True

    def _reason(self) -> str:
        status = self._status()
        return "".join(f" {problem}" for problem in status.problems) if status is not None else ""

    def ready(self) -> bool:
        """Return whether the projector's /readyz says yes."""
        http_address = self.http
        return http_address is not None and readyz(http_address)

    def supervise(self) -> None:
        """Start again what has died or hangs, with back-off. Call it now and then, from the main thread.

        Raises StreamMismatchError when the projector refuses to go on, SettingsError when a child's settings are
        wrong, RunloreError when the projector keeps ending.
        """
        if self._server is not None:
            self._mind_server(self._server)
        self._mind_projector()
        self._require_page_settings()
        for side in (self._dashboard, self._queries):
            if side is not None:
                side.supervise(self._note)

    def _mind_projector(self) -> None:
        code, status = self._projector.exit_code(), self._status()
        if code is None and self._projector_heartbeat.silent(status.updated if status else None):
            self._note("the projector does not answer any more; ending it")
            self._projector.kill()
            return
        if code in (USAGE, VERIFICATION_FAILED) or (code is not None and self._projector_reviver.hopeless):
            raise self._ended(code)
        if code is not None and self._projector_reviver.due():
            self._note(f"the projector ended with {code}; starting it again")
            self._projector.start()

    def _mind_server(self, server: EmbeddedServer) -> None:
        if not server.running():
            reason = "nats-server died"
        elif self._watch.hangs():
            reason = "nats-server does not answer any more"
        elif (error := self._watch.error) is not None:
            reason = f"nats-server stores no more events ({error})"
            if not has_room(self._data.nats):
                self._note_once(f"{reason}: the disk is full. Free some space; events wait in their outboxes meanwhile")
                return
        else:
            self._noted = ""
            return
        if self._server_reviver.due():
            self._note(f"{reason}; starting it again")
            self._revive_server(server)

    def _note_once(self, text: str) -> None:
        if text != self._noted:
            self._noted = text
            self._note(text)

    def _require_page_settings(self) -> None:
        if self._dashboard is not None and self._dashboard.exit_code() == USAGE:
            status = read_struct(self._data.dashboard, DashboardStatus)
            ours = status is not None and status.pid == self._dashboard.pid
            reason = status.stopped if status is not None and ours else None
            raise SettingsError(f"the page cannot start: {reason or 'its log says why'}")

    def _revive_server(self, server: EmbeddedServer) -> None:
        try:
            server.close()
            server.start()
            self._watch.renew()
        except RunloreError as error:
            self._note(f"{error}; trying again")

    def _status(self) -> ProjectorStatus | None:
        """Return the status of the projector that this process started last, never of an earlier one."""
        status = read_struct(self._data.status, ProjectorStatus)
        return status if status is not None and status.pid == self._projector.pid else None

    def _ended(self, code: int) -> RunloreError:
        status = self._status()
        reason = status.stopped if status and status.stopped else f"exit code {code}; its log says why"
        kind = {USAGE: SettingsError, VERIFICATION_FAILED: StreamMismatchError}.get(code, RunloreError)
        return kind(f"the projector stopped: {reason}")


def public_address(settings: Settings) -> str:
    """Where NATS is, as it may be shown: without user and password. Reads no file of RUNLORE_URL's user."""
    return ", ".join(addresses(settings.url) if settings.url else server_options(settings)["servers"])


def readyz(address: str) -> bool:
    """Return whether the health endpoint at `address` answers /readyz with 200."""
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


async def _make_stream(settings: Settings) -> None:
    async def ignore(error: Exception) -> None:
        """Ignore it: the request itself raises what fails."""

    async def closed() -> None:
        """We close it ourselves."""

    connection = await connect(settings, "runlore up", ignore, closed)
    try:
        from runlore.projector import open_stream  # `doctor` needs this module where no projector is installed

        await open_stream(connection, settings, DataDir(settings.data_dir))
    finally:
        await connection.close()
