"""The process's own producer, and what happens to producers when the process forks or ends."""

from __future__ import annotations

import atexit
import logging
import os
import sys
from collections.abc import Callable
from typing import Any

from runlore.producer.call_lock import CallLock
from runlore.producer.outboxes.gates import IMPORT_GATE, SQLITE_GATE
from runlore.producer.outboxes.outbox import OPEN_OUTBOXES, Outbox
from runlore.producer.producer import LIVE, Producer, before_first_session
from runlore.producer.runs.environment import EXPORTED
from runlore.producer.session import RETIRING, FlushReport
from runlore.schemas.settings import Settings, read_settings

logger = logging.getLogger("runlore")
_getframe = sys._getframe  # pyright: ignore[reportPrivateUsage] -- see CallLock


class _ProcessState:
    """Per-process state."""

    def __init__(self) -> None:
        self.lock = CallLock()
        self.hooked = False


_process = _ProcessState()
_producers: dict[str, Producer] = {}
"""The process's own producer, under "default"."""


def default_producer() -> Producer:
    """The producer of the `log_*` functions; made on first use from the environment."""
    # Without a lock: a signal handler may come in between. Of two that are made then, the second is never used.
    return _producers.get("default") or _producers.setdefault("default", Producer(read_settings(EXPORTED.environ())))


def configure(**settings: Any) -> Settings:
    """Set up the producer of this process in code instead of by RUNLORE_* variables; returns the settings.

    Names are those of `runlore.schemas.SETTINGS`. The producer used until now is flushed and closed.

        configure(data_dir="/data/runlore", project="churn")

    Raises SettingsError for an invalid value, TypeError for an unknown name.
    """
    producer = Producer(read_settings(EXPORTED.environ(), **settings))
    with _process.lock:
        before = _producers.get("default")
        _producers["default"] = producer
    if before is not None:
        before.close()
    return producer.settings


def flush(timeout: float | None = None) -> FlushReport:
    """Wait until everything this process has logged is in the log; report what is unsent and refused.

    `timeout` is in seconds; default RUNLORE_FLUSH_TIMEOUT. Unsent events are safe in the outbox.

        assert flush(timeout=10).unsent == 0
    """
    return default_producer().flush(timeout)


def _hook_exit() -> None:
    """Once a process: flush at its end. Children of multiprocessing end without atexit."""
    if _process.hooked:
        return
    util, parent = sys.modules.get("multiprocessing.util"), sys.modules.get("multiprocessing.process")
    if util is not None and parent is not None and parent.parent_process() is not None:
        util.Finalize(None, _at_exit, exitpriority=10)
    else:
        atexit.register(_at_exit)
    _process.hooked = True  # last: registering twice is harmless


_end_hooks: list[Callable[[], None]] = []


def before_end(hook: Callable[[], None]) -> Callable[[], None]:
    """Call `hook` when the process ends, before its producers are closed."""
    _end_hooks.append(hook)
    return hook


def _at_exit() -> None:
    for hook in _end_hooks:
        hook()
    for producer in list(LIVE):
        session = producer.session
        _warn_of_unsent(producer.close(), producer.settings, "" if session is None else session.trouble)
    for session in list(RETIRING):
        _warn_of_unsent(session.end(), session.settings, session.trouble)


def _warn_of_unsent(report: FlushReport, settings: Settings, trouble: str) -> None:
    if report.unsent and settings.mode == "online":
        logger.warning(
            "runlore: %d event(s) wait in %s%s; the next process that uses this folder sends them, or "
            "`runlore outbox drain`",
            report.unsent,
            settings.data_dir / "outbox",
            f" ({trouble})" if trouble else "",
        )


def _before_fork() -> None:
    # The child must not inherit a lock, of ours or inside SQLite, that another thread holds. They belong to the call
    # of os.fork(), except those that a call below it in this thread has already.
    fork = _getframe(1)
    IMPORT_GATE.take(fork)
    SQLITE_GATE.take(fork)
    seen: set[Outbox] = set()
    while new := OPEN_OUTBOXES - seen:  # an outbox's own lock comes first, and outboxes may be opened meanwhile
        SQLITE_GATE.leave(fork)
        for outbox in new:
            outbox.lock.take(fork)
        SQLITE_GATE.take(fork)
        seen |= new


def _after_fork_in_parent() -> None:
    fork = _getframe(1)
    for lock in (SQLITE_GATE, *[outbox.lock for outbox in OPEN_OUTBOXES.copy()], IMPORT_GATE):
        lock.leave(fork)
    for producer in list(LIVE):
        producer.settle()


def _after_fork_in_child() -> None:
    outboxes = list(OPEN_OUTBOXES)
    OPEN_OUTBOXES.clear()
    for gate in (IMPORT_GATE, SQLITE_GATE):
        gate.forget()
    _process.lock = CallLock()
    _process.hooked = False
    for producer in list(LIVE):
        producer.lost_by_fork()
    for session in RETIRING:
        session.lost_by_fork()
    RETIRING.clear()
    for outbox in outboxes:
        outbox.abandon()


before_first_session(_hook_exit)
os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
