"""The load of machine and process, logged on the runs that are open here. Off unless the settings ask for it."""

from __future__ import annotations

import importlib
import os
import threading
from typing import Any

from runlore.producer.lifecycle import default_producer
from runlore.producer.warn import warn_no_system_metrics
from runlore.schemas.events import MetadataLogged
from runlore.schemas.references import EntityRef
from runlore.schemas.special import StorageSize
from runlore.schemas.values import pack_metadata


class _Sampler:
    """The thread that samples while runs are open, and these runs."""

    def __init__(self) -> None:
        self._runs: dict[str, None] = {}
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def watch(self, run_id: str) -> None:
        with self._changed:
            self._runs[run_id] = None
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="runlore-system-metrics", daemon=True)
                self._thread.start()

    def leave(self, run_id: str) -> None:
        if run_id in self._runs:  # most processes watch none, and take no lock
            with self._changed:
                self._runs.pop(run_id, None)
                self._changed.notify_all()

    def _work(self) -> None:
        try:
            psutil: Any = importlib.import_module("psutil")
            process = psutil.Process()
            _sample(psutil, process)  # the first percentages mean nothing
            while self._pause(default_producer().settings.system_metrics):
                sample = pack_metadata({"system": _sample(psutil, process)})
                for run_id in list(self._runs):
                    fact = MetadataLogged((EntityRef("run", run_id),), sample)
                    default_producer().emit_packed(fact, run_id, None)
        except Exception as error:  # noqa: BLE001 -- the supervised boundary: a run goes on without these numbers
            missing = isinstance(error, ModuleNotFoundError)
            warn_no_system_metrics("pip install 'runlore[system]'" if missing else str(error))

    def _pause(self, seconds: float) -> bool:
        """Wait for the next sample; False when no run is open any more."""
        with self._changed:
            self._changed.wait_for(lambda: not self._runs, seconds or None)
            return bool(self._runs)


def _sample(psutil: Any, process: Any) -> dict[str, Any]:
    memory = psutil.virtual_memory()
    return {
        "cpu_percent": psutil.cpu_percent(),
        "memory_percent": memory.percent,
        "process_cpu_percent": process.cpu_percent(),
        "process_memory": StorageSize(process.memory_info().rss),
        "process_threads": process.num_threads(),
    }


_process = {"sampler": _Sampler()}


def watch_run(run_id: str) -> None:
    """Log the system's load on a run of this process until `leave_run`, if the settings ask for it."""
    settings = default_producer().settings
    if settings.system_metrics and settings.mode != "disabled":
        _process["sampler"].watch(run_id)


def leave_run(run_id: str) -> None:
    """The run ends: nothing more is logged on it."""
    _process["sampler"].leave(run_id)


def _forget() -> None:
    _process["sampler"] = _Sampler()


os.register_at_fork(after_in_child=_forget)  # the thread is the parent's
