"""The supervised boundary between an adapter and its host."""

from __future__ import annotations

import logging
from collections.abc import Callable

logger = logging.getLogger("runlore")
MOST_REASONS = 20
"""Different reasons that one adapter warns of."""


class Guard:
    """Runs an adapter's work inside its host's calls: what goes wrong is a warning for each reason, no error."""

    def __init__(self, adapter: str) -> None:
        self._adapter = adapter
        self._reasons: set[str] = set()

    def run(self, work: Callable[[], object]) -> bool:
        """Call `work`; False where it failed."""
        try:
            work()
        except Exception as error:  # noqa: BLE001 -- the supervised boundary: the host goes on without us
            self.warn(f"{type(error).__name__}: {error}")
            return False
        return True

    def warn(self, reason: str) -> None:
        """Warn that something is not recorded, once for each reason."""
        if reason in self._reasons or len(self._reasons) >= MOST_REASONS:
            return
        self._reasons.add(reason)
        logger.warning("runlore: %s is not recorded completely: %s", self._adapter, reason)
