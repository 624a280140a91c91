"""Ctrl-C and SIGTERM as a question to ask, so that no code is interrupted half way."""

from __future__ import annotations

import os
import select
import signal
from types import FrameType
from typing import Any

STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class StopSignals:
    """While entered, SIGINT and SIGTERM only set `requested`. Main thread only."""

    def __init__(self) -> None:
        self.requested = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> StopSignals:
        # A pipe wakes `wait` at once; an Event could deadlock, as handlers run in the waiting thread.
        self._reader, self._writer = os.pipe()
        os.set_blocking(self._writer, False)
        self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            self._before[number] = signal.signal(number, self._request)
        return self

    def _request(self, number: int, frame: FrameType | None) -> None:
        self.requested = True

    def wait(self, seconds: float) -> bool:
        """Wait until a stop is requested, `seconds` at most; whether it is."""
        if not self.requested and select.select([self._reader], [], [], seconds)[0]:
            os.read(self._reader, 4096)
        return self.requested

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._reader)
        os.close(self._writer)
