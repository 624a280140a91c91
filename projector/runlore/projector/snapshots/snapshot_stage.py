"""The snapshot stage, as the service sees it: a process that is started when a snapshot is due, and watched."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from runlore.projector.erasures.left import snapshot_holds
from runlore.projector.logs import get_log
from runlore.projector.snapshots.worker import REFUSED
from runlore.projector.state import ServiceState
from runlore.schemas.settings import Settings, settings_environment
from runlore.store.folder import DataDir
from runlore.store.private_files import read_struct
from runlore.store.records import LastSnapshot
from runlore.store.sqlite import sqlite

DEFAULT_EVERY = 100_000
"""Events between two snapshots where the setting does not say: with RUNLORE_URL, as a replica is on another machine."""

SHARE = 0.05
"""Of the time that may pass with taking snapshots, however large the view and however fast it grows."""

RETRY_SECONDS = 300.0
ERASED_SECONDS = 5.0
"""Between two attempts to replace a snapshot that has erased values: the view is being made again meanwhile."""
STOP_SECONDS = 5.0

_PROGRAM = """
import sys
from runlore.projector.snapshots.worker import main
sys.exit(main())
"""


class SnapshotStage:
    """Takes snapshots of one folder from time to time. Nothing it meets reaches the fold or ends the service."""

    def __init__(self, settings: Settings, state: ServiceState) -> None:
        self._settings, self._data, self._state = settings, DataDir(settings.data_dir), state
        default = DEFAULT_EVERY if settings.url else 0
        self._every = default if settings.snapshot_every is None else settings.snapshot_every
        self._process: subprocess.Popen[str] | None = None
        self._started = self._next = self._again = 0.0
        self._last: int | None = None

    def tick(self) -> None:
        """Start a process if a snapshot is due, or look how the running one does. Call it once a second."""
        if self._process is not None:
            if (code := self._process.poll()) is not None:
                self._ended(self._process, code)
        elif self._due() or self._outdated():
            self._start()

    def close(self) -> None:
        """End the running one: what it has stored of a snapshot is none yet."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.communicate(timeout=STOP_SECONDS)
        except subprocess.TimeoutExpired:  # it waits for a disk
            self._process.kill()
            self._process.communicate()
        self._process = None

    def _due(self) -> bool:
        if not self._every or not self._state.connected or time.monotonic() < self._next:
            return False
        if self._last is None:
            self._last = self._position()
        folded = self._state.folded
        new = folded - self._last if self._last <= folded else folded  # below: the log of this folder is another one
        return self._state.fold_running and new >= self._every

    def _outdated(self) -> bool:
        """Return whether values were erased since the last snapshot, which still has them."""
        if not self._state.connected or not self._state.fold_running or time.monotonic() < self._again:
            return False
        try:
            return snapshot_holds(self._data)
        except (sqlite.Error, OSError):
            return False  # the archive says what is wrong with log.db

    def _position(self) -> int:
        last = read_struct(self._data.last_snapshot, LastSnapshot)
        return 0 if last is None else last.snapshot.position

    def _start(self) -> None:
        try:
            self._process = subprocess.Popen(  # noqa: S603 -- our own module
                [sys.executable, "-c", _PROGRAM],
                env={**os.environ, **settings_environment(self._settings)},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                text=True,
            )
        except OSError as error:  # no memory for a process
            self._failed(str(error))
        self._started = time.monotonic()

    def _ended(self, process: subprocess.Popen[str], code: int) -> None:
        reason, _ = process.communicate()
        self._process = None
        now = time.monotonic()
        self._again = now + (ERASED_SECONDS if code != REFUSED else RETRY_SECONDS)
        if code == 0:
            self._state.problems.pop("snapshot", None)
            self._last, self._next = self._position(), now + (now - self._started) / SHARE
        elif code == REFUSED and self._settings.snapshot_every is None:
            self._every = 0  # nobody asked for snapshots, and the server takes none
            get_log().warning("no snapshots for replicas: the server refuses them", reason=reason)
        else:
            self._failed(reason or f"its process ended with {code}")

    def _failed(self, reason: str) -> None:
        self._next = time.monotonic() + RETRY_SECONDS
        get_log().error("no snapshot", reason=reason)
        self._state.problems["snapshot"] = f"no snapshot for replicas was stored: {reason}; it is tried again"
