"""Child processes that never outlive us, and that come back when they die."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from runlore.store.ownership import write_to
from runlore.wire.connect import Backoff

STEADY_SECONDS = 10.0
"""A child that lived this long is steady: its next death is met without delay again."""

KILL_SECONDS = 10.0
"""Seconds to wait for a killed process: only one that waits for a disk takes longer."""
MOST_STARTS = 10
"""Starts in a row after which one that never becomes steady is given up: about a minute."""

_PR_SET_PDEATHSIG = 1
# Looked up before any fork: between fork and exec only the call itself is safe.
_prctl: Any = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def _die_with_parent() -> None:
    _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


die_with_parent: Callable[[], None] | None = _die_with_parent if _prctl is not None else None
"""For `Popen(preexec_fn=…)`: the child gets SIGTERM when the thread that spawned it ends (Linux)."""


class Child:
    """One process of ours. Start it from the main thread: its death signal hangs on it."""

    def __init__(self, command: Sequence[str], environ: Mapping[str, str], log: Path | None = None) -> None:
        self._command, self._environ, self._log = list(command), dict(environ), log
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process else None

    def start(self) -> None:
        """Start it; what it writes goes to the log file, else to our stderr."""
        if self._log is None:
            self._spawn(None)
            return
        with write_to(self._log, "ab") as log:
            self._spawn(log)

    def _spawn(self, log: IO[bytes] | None) -> None:
        self._process = subprocess.Popen(  # noqa: S603 -- commands of our own
            self._command,
            env=self._environ,
            stdin=subprocess.DEVNULL,
            stdout=log if log is not None else sys.stderr.fileno(),
            stderr=log,
            start_new_session=True,  # Ctrl-C reaches us first, and we stop things in order
            preexec_fn=die_with_parent,
        )

    def exit_code(self) -> int | None:
        """None while it runs or before it was started."""
        return self._process.poll() if self._process else None

    def kill(self) -> None:
        """SIGKILL, which one that hangs cannot refuse; it is dead when this returns, or waits for a disk."""
        if self._process is not None:
            self._process.kill()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(KILL_SECONDS)

    def stop(self, seconds: float) -> None:
        """SIGTERM, then SIGKILL after `seconds`. Harmless when it does not run."""
        if self._process is not None:
            end_process(self._process, seconds)


def end_process(process: subprocess.Popen[bytes], seconds: float) -> bool:
    """SIGTERM, then SIGKILL after `seconds`; whether it has ended."""
    if process.poll() is not None:
        return True
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(seconds)
        return True
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(KILL_SECONDS)
    return process.poll() is not None


class Reviver:
    """Decides when to restart a process that has ended: at once first, then later and later while it keeps ending."""

    def __init__(self) -> None:
        self._backoff = Backoff(first=0.2, most=10.0)
        self._starts = 0
        self._started = self._next = time.monotonic()

    @property
    def hopeless(self) -> bool:
        """True if it was started MOST_STARTS times in a row and never became steady. Ask only while it is dead."""
        return self._starts >= MOST_STARTS and time.monotonic() - self._started <= STEADY_SECONDS

    def due(self) -> bool:
        """Return whether to start it now. Ask only while it is dead; a yes counts as a start."""
        now = time.monotonic()
        if now < self._next:
            return False
        if now - self._started > STEADY_SECONDS:
            self._backoff.reset()
            self._starts = 0
        self._starts += 1
        self._started = now
        self._next = now + self._backoff.wait()
        return True


def child_environment(variables: Mapping[str, str]) -> dict[str, str]:
    """Our environment with `variables` instead of all its RUNLORE_* ones."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNLORE_")}
    return {**kept, **variables}
