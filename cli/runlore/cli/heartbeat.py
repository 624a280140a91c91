"""Telling a child that hangs from one that lives, by what it writes again and again."""

from __future__ import annotations

import time

SILENT_SECONDS = 60.0
"""A projector that runs writes its status every second; one that ends may be silent while it finishes."""

_LOOK_SECONDS = 1.0
"""No more than this counts between two looks: a machine that sleeps, or a paused container, stops us as well."""


class Heartbeat:
    """Listens for one child. Ask `silent` again and again."""

    def __init__(self) -> None:
        self._beat: object = None
        self._looked = time.monotonic()
        self._silence = 0.0

    def silent(self, beat: object) -> bool:
        """Whether this is still what it said long ago; None: it has said nothing yet, and is not counted."""
        now = time.monotonic()
        self._silence += min(now - self._looked, _LOOK_SECONDS)
        self._looked = now
        if beat is None or beat != self._beat:
            self._beat, self._silence = beat, 0.0
        return self._silence > SILENT_SECONDS
