"""Warnings for people, each logged once per process."""

from __future__ import annotations

import logging
import threading
from pathlib import Path

logger = logging.getLogger("runlore")
_warned: set[str] = set()


def warn_dead(outbox: Path, count: int, reason: str) -> None:
    """Warn once for each reason that events became dead letters."""
    if reason in _warned or len(_warned) >= 100:
        return
    _warned.add(reason)
    logger.warning(
        "runlore: %d event(s) cannot be sent and are kept as dead letters in %s: %s. "
        "See `runlore outbox status`; `runlore outbox drain --retry-dead` sends them again",
        count,
        outbox,
        reason,
    )


def warn_lost(process: str) -> None:
    """Warn once in each process that a call had no run or step."""
    if process in _warned:
        return
    _warned.add(process)
    logger.warning(
        "runlore: a call in thread %r knows no run or step: pools, executors and worker processes may lose them. It is "
        "recorded on %s, like all others of this process that know none. To keep the run and step, wrap the function "
        "in in_context(), start child processes with get_step_context().env(), or open run_context(run_id=...)",
        threading.current_thread().name,
        process,
    )


def warn_not_stored(count: int, reason: str) -> None:
    """Warn once for each reason that events logged inside another call are not in the outbox yet."""
    if reason in _warned or len(_warned) >= 100:
        return
    _warned.add(reason)
    logger.warning(
        "runlore: %d event(s) logged inside another log call are not stored yet: %s. The next call tries again",
        count,
        reason,
    )


def warn_not_described(reason: str) -> None:
    """Warn once for each reason that a run has no description of what it was started in."""
    if reason in _warned or len(_warned) >= 100:
        return
    _warned.add(reason)
    logger.warning("runlore: what a run was started in is not recorded: %s. RUNLORE_DESCRIBE=off turns it off", reason)


def warn_no_trace(reason: str) -> None:
    """Warn once for each reason that an event or run has no span of OpenTelemetry."""
    if reason in _warned or len(_warned) >= 100:
        return
    _warned.add(reason)
    logger.warning("runlore: the current span of OpenTelemetry is not recorded: %s", reason)


def warn_no_system_metrics(reason: str) -> None:
    """Warn once for each reason that the load of the machine is not logged, though the settings ask for it."""
    if reason in _warned or len(_warned) >= 100:
        return
    _warned.add(reason)
    logger.warning("runlore: the load of the machine is not logged (RUNLORE_SYSTEM_METRICS): %s", reason)
