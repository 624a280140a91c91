"""What a run was started in: code, command, interpreter, machine, packages. Found beside the step, never in its way.

A thread looks once for each run: reading the packages takes a millisecond, and `git` twenty. The event follows the
start of the run, at the latest when the process ends.
"""

from __future__ import annotations

import contextlib
import os
import platform
import queue
import shlex
import sys
import threading
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from runlore.producer.lifecycle import before_end, default_producer
from runlore.producer.runs.repository import Repository, repository_of
from runlore.producer.runs.secret_names import is_secret_name
from runlore.producer.runs.secrets import REDACTED, redact, redact_text
from runlore.producer.warn import warn_not_described
from runlore.schemas.events import RunDescribed
from runlore.schemas.values import pack_metadata

MAX_COMMAND = 10_000
"""Characters."""
MAX_PACKAGES = 2_000
END_SECONDS = 3.0
"""The end of a process waits for descriptions under way, at most."""
_INSTALLED = (".dist-info", ".egg-info")


class _Wanted(NamedTuple):
    run_id: str
    folder: str
    command: list[str]


class _Describer:
    """The thread that describes runs, and what it has not described yet. It starts with the first run."""

    def __init__(self) -> None:
        self._wanted: queue.SimpleQueue[_Wanted] = queue.SimpleQueue()
        self._open = 0
        self._done = threading.Condition()
        self._thread: threading.Thread | None = None

    def want(self, wanted: _Wanted) -> None:
        with self._done:
            self._open += 1
            if self._thread is None:
                self._thread = threading.Thread(target=self._work, name="runlore-describe", daemon=True)
                self._thread.start()
        self._wanted.put(wanted)

    def wait(self, seconds: float) -> None:
        with self._done:
            self._done.wait_for(lambda: self._open == 0, seconds)

    def _work(self) -> None:
        while True:
            wanted = self._wanted.get()
            try:
                _emit(wanted.run_id, environment_of(wanted.folder, wanted.command))
            except Exception as error:  # noqa: BLE001 -- the supervised boundary: a run goes on without a description
                warn_not_described(str(error))
            with self._done:
                self._open -= 1
                self._done.notify_all()


_process = {"describer": _Describer()}


def describe_run(run_id: str, given: Mapping[str, Any] | None = None) -> None:
    """Describe a run that was just started here: as `given`, else by looking around if the settings say so."""
    settings = default_producer().settings
    if settings.mode == "disabled":
        return
    if given is not None:
        if given:
            _emit(run_id, redact(dict(given)) if settings.redact else dict(given))
    elif settings.describe:
        command = list(getattr(sys, "orig_argv", None) or sys.argv)
        with contextlib.suppress(RuntimeError, OSError):  # the interpreter shuts down; the folder is gone
            _process["describer"].want(_Wanted(run_id, str(Path.cwd()), command))


def _emit(run_id: str, environment: dict[str, Any]) -> None:
    default_producer().emit_packed(RunDescribed(pack_metadata(environment)), run_id, None)


def environment_of(folder: str, command: Sequence[str]) -> dict[str, Any]:
    """What code that was started with a command runs in."""
    found: dict[str, Any] = {
        "command": _shown(command),
        "folder": folder,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": installed(),
    }
    repository = repository_of(folder)
    return found if repository is None else {"git": _git(repository), **found}


def _git(found: Repository) -> dict[str, Any]:
    known = {name: value for name, value in found._asdict().items() if value is not None}
    return {**known, "origin": redact_text(found.origin)} if found.origin else known


def _shown(command: Sequence[str]) -> str:
    """A command line as a shell would take it, without its secrets."""
    if not default_producer().settings.redact:
        return shlex.join(command)[:MAX_COMMAND]
    words, secret = list[str](), False
    for word in command:
        words.append(REDACTED if secret else redact_text(word))
        secret = word.startswith("-") and "=" not in word and is_secret_name(word.lstrip("-"))
    return redact_text(shlex.join(words))[:MAX_COMMAND]


@cache
def installed() -> dict[str, str]:
    """Installed packages and their versions, by the names of their folders: to read their metadata takes longer."""
    found: dict[str, str] = {}
    for place in sys.path:
        with contextlib.suppress(OSError), os.scandir(place or ".") as entries:
            for name in [entry.name for entry in entries if entry.name.endswith(_INSTALLED)]:
                package, _, version = name.rpartition(".")[0].partition("-")
                if version:
                    found.setdefault(package.replace("_", "-").lower(), version.partition("-py")[0])
    return dict(sorted(found.items())[:MAX_PACKAGES])


@before_end
def wait_for_descriptions() -> None:
    """Let descriptions under way be stored before the process ends."""
    _process["describer"].wait(END_SECONDS)


def _forget() -> None:
    _process["describer"] = _Describer()


os.register_at_fork(after_in_child=_forget)  # the thread is the parent's
