"""A lock that belongs to a running call, not to a thread.

An exception can end a call at any instruction: Ctrl-C, an alarm handler, a notebook's stop button. Then a
`threading.Lock` may stay locked for ever. And a signal handler, a weakref callback or a `__del__` can run inside a call
and ask for the lock that its own thread has. Here the lock knows the frame of each call that has it or waits for it:
a frame that has ended loses its place, and a call on top of one of them gets False instead of waiting for itself.
"""

from __future__ import annotations

import contextlib
import sys
import threading
from types import FrameType, TracebackType

LOOK_SECONDS = 0.02
"""Interval at which a waiting call checks that the call before it still runs; usually it is woken earlier."""

_getframe = sys._getframe  # pyright: ignore[reportPrivateUsage] -- documented; no other way names the running call


class CallLock:
    """A first-come, first-served lock. As `with lock:` it is re-entrant, and for plain functions only.

    A call on the hot path writes out what `take` and `leave` do:

        frame = sys._getframe()
        queue.append(frame)
        if queue[0] is not frame and not lock.wait(frame):
            return  # inside another call of this thread
        try:
            ...
        finally:
            queue.remove(frame)
            frame = None  # else the frame would hold itself
            if queue:
                lock.wake()
    """

    __slots__ = ("_gates", "queue")

    def __init__(self) -> None:
        self.queue: list[FrameType] = []
        """Frames of the calls that want the lock; the first one has it. Each change is one atomic operation."""
        self._gates: dict[FrameType, threading.Lock] = {}

    def take(self, frame: FrameType) -> bool:
        """Wait until `frame`, which must still run, has the lock; False inside a call of this thread that wants it."""
        self.queue.append(frame)
        return self.queue[0] is frame or self.wait(frame)

    def wait(self, frame: FrameType) -> bool:
        """Wait for a frame that is in the queue already; when False, it is no longer there."""
        queue = self.queue
        if self.is_inside(frame):
            queue.remove(frame)
            return False
        gate = self._gates[frame] = threading.Lock()
        gate.acquire()
        while (head := queue[0]) is not frame:
            if not self._drop_if_ended(head):
                gate.acquire(timeout=LOOK_SECONDS)
        self._gates.pop(frame, None)
        return True

    def is_inside(self, frame: FrameType) -> bool:
        """Return whether a call below `frame` on its stack has the lock or waits for it."""
        below = frame.f_back
        while below is not None:
            if below in self.queue:
                return True
            below = below.f_back
        return False

    def _drop_if_ended(self, head: FrameType) -> bool:
        try:
            head.clear()
        except RuntimeError:
            return False  # it runs
        with contextlib.suppress(ValueError):  # another thread removed it
            self.queue.remove(head)
        self._gates.pop(head, None)
        self.wake()
        return True

    def wake(self) -> None:
        """Wake the call that now has the lock."""
        try:
            gate = self._gates.get(self.queue[0])
        except IndexError:
            return
        if gate is not None:
            with contextlib.suppress(RuntimeError):  # it is awake already
                gate.release()

    def leave(self, frame: FrameType) -> None:
        """Let the next call have the lock; harmless when `frame` does not have it."""
        try:  # noqa: SIM105 -- contextlib.suppress costs as much as all the rest
            self.queue.remove(frame)
        except ValueError:
            pass
        if self.queue:
            self.wake()

    def forget(self) -> None:
        """In a forked child: the calls of the parent's threads do not run here."""
        self.queue.clear()
        self._gates.clear()

    def __enter__(self) -> None:
        self.take(_getframe(1))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.leave(_getframe(1))
