"""Warnings a person must see, each said once a process."""

from __future__ import annotations

import logging
from pathlib import Path

logger = logging.getLogger("runlore")
_said: set[str] = set()


def warn_dead(outbox: Path, count: int, reason: str) -> None:
    """Tell once for each reason that events became dead letters."""
    if reason in _said or len(_said) >= 100:
        return
    _said.add(reason)
    logger.warning(
        "runlore: %d event(s) cannot be sent and are kept as dead letters in %s: %s. "
        "See `runlore outbox status`; `runlore outbox drain --retry` sends them again",
        count,
        outbox,
        reason,
    )


def warn_not_stored(count: int, reason: str) -> None:
    """Tell once for each reason that events logged inside another call are not in the outbox yet."""
    if reason in _said or len(_said) >= 100:
        return
    _said.add(reason)
    logger.warning(
        "runlore: %d event(s) logged inside another log call are not stored yet: %s. The next call tries again",
        count,
        reason,
    )
