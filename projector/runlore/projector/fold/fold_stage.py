"""The fold stage, as the service sees it: a process that is started, woken, listened to and stopped."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable

import msgspec

from runlore.projector.fold.fold_report import FoldReport
from runlore.projector.metrics import ProjectorMetrics
from runlore.projector.state import ServiceState
from runlore.schemas import errors
from runlore.schemas.errors import RunloreError
from runlore.store.folder import DataDir

_PROGRAM = """
import sys
from runlore.projector.fold.fold_worker import main
sys.exit(main())
"""

SILENT_TICKS = 30
"""Seconds without a report after which a fold counts as hanging; a working one reports every second."""

BUSY_SECONDS = 60.0
"""One step of the fold that takes longer than this is reported; large rebuilds have such steps."""

STOP_SECONDS = 15.0
"""What is in hand must be finished within this; it is a transaction, and folded again after the next start."""

_decode = msgspec.json.Decoder(FoldReport).decode


class FoldStage:
    """One fold process. When it ends by itself, `failure` is the reason, and `on_failure` is called."""

    def __init__(
        self, data: DataDir, state: ServiceState, metrics: ProjectorMetrics, on_failure: Callable[[], None]
    ) -> None:
        self._data, self._state, self._metrics, self._on_failure = data, state, metrics, on_failure
        self._process: subprocess.Popen[bytes] | None = None
        self._listener: threading.Thread | None = None
        self._stopping = False
        self._silent = 0
        self.failure: RunloreError | None = None

    def start(self) -> None:
        """Start the process."""
        self._process = subprocess.Popen(  # noqa: S603 -- our own module
            [sys.executable, "-c", _PROGRAM, str(self._data.root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin
        os.set_blocking(self._process.stdin.fileno(), False)
        self._listener = threading.Thread(target=self._listen, args=(self._process,), name="runlore-fold")
        self._listener.start()

    def wake(self) -> None:
        """Tell the fold that log.db has more rows."""
        if self._process is not None and self._process.stdin is not None:
            # Full: it is awake anyhow. Broken: the listener hears why.
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(self._process.stdin.fileno(), b"\n")

    def tick(self) -> None:
        """End a process that hangs, as if it had ended by itself. Call it once a second.

        Calls are counted, not time: a machine that sleeps, or a container that is paused, stops both.
        """
        self._silent += 1
        if self._silent > SILENT_TICKS and self._process is not None and self.failure is None:
            self.failure = RunloreError(
                f"the fold process hung: it said nothing for {SILENT_TICKS} s and was ended. Nothing is lost: start "
                "the projector again"
            )
            self._process.kill()

    def stop(self) -> None:
        """Let it finish the batch in hand, checkpoint and end; harmless when it did not start."""
        self._stopping = True
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        if self._listener is not None and self._process is not None:
            self._listener.join(STOP_SECONDS)
            if self._listener.is_alive():
                self._process.kill()
            self._listener.join()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout
        with process.stdout:
            for line in process.stdout:
                self._silent = 0
                self._take(_decode(line))
        code = process.wait()
        self._state.fold_running = False
        if self.failure is None and not (self._stopping and code == 0):
            self.failure = RunloreError(
                f"the fold process ended with code {code} (a traceback, if any, is above); nothing is lost: "
                "start the projector again"
            )
        if self.failure is not None:
            self._on_failure()

    def _take(self, report: FoldReport) -> None:
        if report.error is not None:
            self.failure = _error(report)
            return
        state = self._state
        if report.beat:
            self._tell_busy(report.busy)
            return
        state.folded, state.quarantined, state.fold_running = report.folded, report.quarantined, report.running
        if report.events:
            state.events_folded += report.events
            self._metrics.fold_seconds.observe(report.seconds)

    def _tell_busy(self, seconds: float) -> None:
        if seconds <= BUSY_SECONDS:
            self._state.problems.pop("fold", None)
            return
        self._state.problems["fold"] = (
            f"the fold has been at one step for {seconds:,.0f} s, behind position {self._state.folded:,}: it rebuilds "
            "a large view, or its disk hardly answers"
        )


def _error(report: FoldReport) -> RunloreError:
    kind = getattr(errors, report.error or "", None)
    if isinstance(kind, type) and issubclass(kind, RunloreError):
        return kind(report.message)
    return RunloreError(f"the fold stopped: {report.error}: {report.message}")
