"""The process's own producer, and what happens to producers when the process forks or ends."""

from __future__ import annotations

import atexit
import logging
import os
import sys
import threading
from typing import Any

from runlore.producer.outboxes.outbox import IMPORT_GATE, OPEN_OUTBOXES, SQLITE_GATE
from runlore.producer.producer import LIVE, Producer, before_first_session
from runlore.producer.runs.environment import EXPORTED
from runlore.producer.session import FlushReport
from runlore.schemas.settings import Settings, read_settings

logger = logging.getLogger("runlore")


class _Process:
    """What this process has one of."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.producer: Producer | None = None
        self.hooked = False
        self.held: list[Any] = []
        """Locks taken for a fork."""


_process = _Process()


def default_producer() -> Producer:
    """The producer of the `log_*` functions; made on first use from the environment."""
    producer = _process.producer
    if producer is None:
        with _process.lock:
            if _process.producer is None:
                _process.producer = Producer(read_settings(EXPORTED.environ()))
            producer = _process.producer
    return producer


def configure(**settings: Any) -> Settings:
    """Set up the producer of this process in code instead of by RUNLORE_* variables; returns the settings.

    Names are those of `runlore.schemas.SETTINGS`. The producer used until now is flushed and closed.

        configure(data_dir="/data/runlore", project="churn")

    Raises SettingsError for a value that makes no sense, TypeError for an unknown name.
    """
    unknown = sorted(set(settings) - set(Settings.__struct_fields__))
    if unknown:
        raise TypeError(f"no such setting: {', '.join(unknown)}. There are {', '.join(Settings.__struct_fields__)}")
    producer = Producer(read_settings(EXPORTED.environ(), **settings))
    with _process.lock:
        before, _process.producer = _process.producer, producer
    if before is not None:
        before.close()
    return producer.settings


def flush(timeout: float | None = None) -> FlushReport:
    """Wait until the log has all that this process has logged; says what is unsent and refused.

    `timeout` is in seconds; default RUNLORE_FLUSH_TIMEOUT. Unsent events are safe in the outbox.

        assert flush(timeout=10).unsent == 0
    """
    return default_producer().flush(timeout)


def _hook_exit() -> None:
    """Once a process: flush at its end. Children of multiprocessing end without atexit."""
    if _process.hooked:
        return
    _process.hooked = True
    util, parent = sys.modules.get("multiprocessing.util"), sys.modules.get("multiprocessing.process")
    if util is not None and parent is not None and parent.parent_process() is not None:
        util.Finalize(None, _at_exit, exitpriority=10)
    else:
        atexit.register(_at_exit)


def _at_exit() -> None:
    for producer in list(LIVE):
        report = producer.close()
        if report.unsent and producer.settings.mode == "online":
            logger.warning(
                "runlore: %d event(s) wait in %s; the next process that uses this folder sends them, or "
                "`runlore outbox drain`",
                report.unsent,
                producer.settings.data_dir / "outbox",
            )


def _before_fork() -> None:
    # The child must not inherit a lock, of ours or inside SQLite, that another thread holds.
    IMPORT_GATE.acquire()
    SQLITE_GATE.acquire()
    _process.held = [outbox.lock for outbox in OPEN_OUTBOXES]
    for lock in _process.held:
        lock.acquire()


def _after_fork_in_parent() -> None:
    for lock in reversed(_process.held):
        lock.release()
    _process.held = []
    SQLITE_GATE.release()
    IMPORT_GATE.release()


def _after_fork_in_child() -> None:
    outboxes = list(OPEN_OUTBOXES)
    OPEN_OUTBOXES.clear()
    _after_fork_in_parent()
    _process.lock = threading.Lock()
    _process.hooked = False
    for producer in list(LIVE):
        session = producer.lost_by_fork()
        if session is not None and session.book is not None:
            session.book.lost_by_fork()
    if outboxes:
        import ctypes

        for outbox in outboxes:
            # Freeing a copied connection would close, and maybe checkpoint, the parent's file.
            ctypes.pythonapi.Py_IncRef(ctypes.py_object(outbox.abandon()))


before_first_session(_hook_exit)
os.register_at_fork(before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork_in_child)
