"""The time that a flush may take: as long as someone said, or a default that lets a connection be made first."""

from __future__ import annotations

import time
from collections.abc import Callable

DEFAULT_SECONDS = 5.0
"""From when the server has answered, or is known to be away."""
CONNECTING_SECONDS = 10.0
"""For the first connection: on a loaded machine, or to a server far away, it takes seconds."""
LOOK_SECONDS = 0.05


class Allowance:
    """A clock that starts now. `seconds` is the time-out that someone set, None for the default.

    `reachable` tells of the server: None until the first attempt to connect has ended.
    """

    def __init__(self, seconds: float | None, reachable: Callable[[], bool | None]) -> None:
        self._reachable = reachable
        self._set = seconds is not None
        self._deadline = time.monotonic() + (CONNECTING_SECONDS if seconds is None else seconds)
        self._connecting = not self._set

    def left(self) -> float:
        """Seconds left; 0 or less: the time is over. Look again after LOOK_SECONDS at the latest."""
        if self._connecting and self._reachable() is not None:
            self._connecting = False
            self._deadline = time.monotonic() + DEFAULT_SECONDS
        return self._deadline - time.monotonic()

    def pointless(self) -> bool:
        """Whether the server is away and nobody said how long to wait for it all the same."""
        return not self._set and self._reachable() is False
