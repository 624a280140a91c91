"""One nats-server process: started until it says where it listens, stopped until it has ended."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from runlore.cli.children import die_with_parent, end_process
from runlore.schemas.errors import ServerUnavailableError
from runlore.store.ownership import write_to

START_SECONDS = 20.0
STOP_SECONDS = 10.0

_PLAIN = frozenset(b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789/._-")


class NatsProcess:
    """A nats-server whose log and ports file are in `folder`. Start it from the main thread: its death signal
    depends on it."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self._folder = program, folder
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def running(self) -> bool:
        """Return whether the process is alive."""
        return self._process is not None and self._process.poll() is None

    def start(self, config: Path, variables: Mapping[str, str], descriptors: Iterable[int] = ()) -> dict[str, str]:
        """Its addresses, `nats` and `monitoring`; it inherits `descriptors`. Raises ServerUnavailableError."""
        # A killed server leaves its ports file, so each start gets a fresh folder.
        run = Path(tempfile.mkdtemp(prefix="run-", dir=self._folder))
        try:
            with write_to(self._log, "ab") as log:
                self._process = subprocess.Popen(  # noqa: S603 -- the program is the installed nats-server
                    [self._program, "-c", str(config), "--ports_file_dir", str(run), "--http_port", "-1"],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,  # Ctrl-C reaches us first: we stop things in order
                    preexec_fn=die_with_parent,
                    pass_fds=tuple(descriptors),
                    umask=0o077,
                    env={**os.environ, **variables},
                )
                return self._wait_for_ports(self._process, run)
        finally:
            shutil.rmtree(run, ignore_errors=True)

    @property
    def _log(self) -> Path:
        return self._folder / "server.log"

    def _wait_for_ports(self, process: subprocess.Popen[bytes], run: Path) -> dict[str, str]:
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            for ports in run.glob("*.ports"):
                try:
                    addresses = json.loads(ports.read_bytes())
                    return {kind: str(addresses[kind][0]) for kind in ("nats", "monitoring")}
                except (ValueError, KeyError, IndexError, OSError):
                    pass  # partly written: look again
            if process.poll() is not None:
                break
            time.sleep(0.005)
        self.stop()
        raise ServerUnavailableError(f"nats-server did not start; its log is {self._log}: {self._last_log_line()}")

    def _last_log_line(self) -> str:
        lines = self._log.read_text(errors="replace").splitlines()
        return lines[-1] if lines else "(empty)"

    def stop(self) -> None:
        """Stop the server and wait for it; kill it when it does not stop in time.

        Raises ServerUnavailableError when even that does not end it.
        """
        process, self._process = self._process, None
        if process is not None and not end_process(process, STOP_SECONDS):
            raise ServerUnavailableError(
                f"nats-server, process {process.pid}, does not end even when killed: its disk may hang. It keeps "
                f"the lock of {self._folder}, so no other server starts there before it has gone"
            )


def quoted(path: Path) -> str:
    """A path as text of the server's configuration, where `}`, `$` and line breaks have a meaning.

    Variables of the environment are read as such text too.
    """
    return '"' + "".join(chr(byte) if byte in _PLAIN else f"\\x{byte:02x}" for byte in os.fsencode(path)) + '"'
