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
from runlore.projector.metrics import Metrics
from runlore.projector.state import ServiceState
from runlore.schemas import errors
from runlore.schemas.errors import RunloreError
from runlore.store.folder import DataDir

_PROGRAM = """
import sys
from runlore.projector.fold.fold_worker import main
sys.exit(main())
"""

_decode = msgspec.json.Decoder(FoldReport).decode


class FoldStage:
    """One fold process. When it ends by itself, `failure` says why, and `on_failure` is called."""

    def __init__(self, data: DataDir, state: ServiceState, metrics: Metrics, on_failure: Callable[[], None]) -> None:
        self._data, self._state, self._metrics, self._on_failure = data, state, metrics, on_failure
        self._process: subprocess.Popen[bytes] | None = None
        self._listener: threading.Thread | None = None
        self._stopping = False
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
        """There is more in log.db."""
        if self._process is not None and self._process.stdin is not None:
            # Full: it is awake anyhow. Broken: the listener hears why.
            with contextlib.suppress(BlockingIOError, BrokenPipeError):
                os.write(self._process.stdin.fileno(), b"\n")

    def stop(self) -> None:
        """Let it finish the batch in hand, checkpoint and end; harmless when it did not start."""
        self._stopping = True
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
        if self._listener is not None:
            self._listener.join()

    def _listen(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stdout
        with process.stdout:
            for line in process.stdout:
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
        state.folded, state.quarantined, state.fold_running = report.folded, report.quarantined, report.running
        if report.events:
            state.events_folded += report.events
            self._metrics.fold_seconds.observe(report.seconds)


def _error(report: FoldReport) -> RunloreError:
    kind = getattr(errors, report.error or "", None)
    if isinstance(kind, type) and issubclass(kind, RunloreError):
        return kind(report.message)
    return RunloreError(f"the fold stopped: {report.error}: {report.message}")
