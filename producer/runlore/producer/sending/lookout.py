"""How the relay notices new events: it looks, so that a call need not make a system call to tell it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

POLL_SECONDS, MOST_POLL_SECONDS = 0.005, 0.01
"""How often it looks while there were some lately: less often the longer there are none."""


async def look_out(seconds: float, has_new: Callable[[], bool], signal: asyncio.Event) -> None:
    """Return when `has_new()`, when `signal` is set, or after `seconds`.

    A timer looks. A task that sleeps in between costs half as much again: 160 instead of 117 µs each time, cold.
    """
    loop = asyncio.get_running_loop()

    def look(poll: float) -> None:
        if has_new():
            signal.set()
        else:
            poll = min(2 * poll, MOST_POLL_SECONDS)
            timers[0] = loop.call_later(poll, look, poll)

    # Two timers: the first one comes to an end when has_new() fails.
    timers = [loop.call_later(POLL_SECONDS, look, POLL_SECONDS), loop.call_later(seconds, signal.set)]
    try:
        await signal.wait()
    finally:
        for timer in timers:
            timer.cancel()
    signal.clear()
