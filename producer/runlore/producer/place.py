"""Where code is: the open runs and steps of this process, and the ones the environment names."""

from __future__ import annotations

import contextlib
import contextvars
import os
import sys
import threading
import weakref
from collections.abc import Iterable
from typing import Any, NamedTuple, TypeVar, cast

from runlore.producer.call_lock import CallLock
from runlore.producer.lifecycle import default_producer
from runlore.schemas.errors import MissingContextError
from runlore.schemas.references import EntityRef, check_name, parse_ref
from runlore.schemas.settings import Settings

MAX_KEPT = 256
"""Step results remembered for lineage, a run."""
_OWN_REFERENCES = 2
"""References to a kept value that nobody else has: the list's, and the question's own."""
_SHARED = (type(None), bool, int, float, complex, str, bytes, type)
"""The interpreter shares such values: the same object says nothing about where it came from."""


class Made(NamedTuple):
    """A step's output: its artifact and the step."""

    artifact: EntityRef
    step: EntityRef


class Run:
    """An open run as this process knows it."""

    def __init__(self, run_id: str, pipeline: str | None, model: EntityRef | None) -> None:
        self.id, self.pipeline, self.model = run_id, pipeline, model
        self.threads = frozenset(threading.enumerate())
        """The threads that were there before."""
        self.closed = False
        self._lock = CallLock()
        self._calls: dict[str, int] = {}
        self._made: dict[int, tuple[Any, Made]] = {}

    def step_name(self, name: str) -> str:
        """`name` for its first call in this run and process, then `name_2`, …"""
        with self._lock:
            count = self._calls[name] = self._calls.get(name, 0) + 1
        return name if count == 1 else f"{name}_{count}"

    def remember(self, value: Any, made: Made) -> None:
        """A later step that takes `value` consumes this artifact."""
        if _is_shared(value):
            return
        with self._lock:
            self._forget_unused()
            try:
                held: Any = weakref.ref(value)
            except TypeError:
                held = [value]  # lists and dicts: kept while anyone else has them
            self._made.pop(id(value), None)
            self._made[id(value)] = (held, made)
            if len(self._made) > MAX_KEPT:
                del self._made[next(iter(self._made))]

    def _forget_unused(self) -> None:
        for key, (held, _) in list(self._made.items()):
            unused = sys.getrefcount(held[0]) <= _OWN_REFERENCES if isinstance(held, list) else held() is None
            if unused:
                del self._made[key]

    def maker(self, value: Any) -> Made | None:
        """The output that `value` is, if a step of this run and process returned this very object."""
        held, made = self._made.get(id(value), (None, None))
        if held is None:
            return None
        return made if (held[0] if isinstance(held, list) else held()) is value else None


def _is_shared(value: Any) -> bool:
    if isinstance(value, (tuple, frozenset)):
        return all(map(_is_shared, cast(Iterable[Any], value)))  # equal constants of a module are one object
    return isinstance(value, _SHARED)


class Step:
    """An open step as this process knows it."""

    def __init__(self, name: str, run: Run, model: EntityRef | None, outputs: tuple[str, ...] = ()) -> None:
        self.name, self.run, self.model, self.outputs = name, run, model, outputs
        self.threads = frozenset(threading.enumerate())
        self.closed = False

    @property
    def ref(self) -> EntityRef:
        return EntityRef("step", self.name, run=self.run.id)


RUN: contextvars.ContextVar[Run | None] = contextvars.ContextVar("runlore_run", default=None)
STEP: contextvars.ContextVar[Step | None] = contextvars.ContextVar("runlore_step", default=None)


class _Process:
    """The run and step that the environment names, and what is open here, for threads without a context."""

    def __init__(self) -> None:
        self.lock = CallLock()
        self.ambient: tuple[Run | None, Step | None] = None, None
        self.ambient_of: Settings | None = None
        self.open: list[Run | Step] = []

    def read_environment(self) -> tuple[Run | None, Step | None]:
        settings = default_producer().settings
        if self.ambient_of is not settings:
            run = step = None
            if settings.run:
                model = parse_ref(settings.model) if settings.model else None
                run = Run(check_name("RUNLORE_RUN_ID", settings.run), settings.pipeline, model)
                if settings.step:
                    step = Step(check_name("RUNLORE_STEP", settings.step), run, model)
            self.ambient, self.ambient_of = (run, step), settings
        return self.ambient

    def only(self, kind: type[Run] | type[Step]) -> Any:
        """The one open run or step that was opened before this thread started; None when several were."""
        if not self.open:
            return None
        thread = threading.current_thread()
        found = [item for item in self.open if isinstance(item, kind) and thread not in item.threads]
        return found[0] if len(found) == 1 else None


PROCESS = _Process()
os.register_at_fork(after_in_child=lambda: setattr(PROCESS, "lock", CallLock()))


def current_run() -> Run | None:
    """The run this code is in.

    A thread that was started while one run was open, and has no context of its own, belongs to that run.
    """
    return RUN.get() or PROCESS.only(Run) or PROCESS.read_environment()[0]


def current_step() -> Step | None:
    """The step this code is in; threads as for `current_run`."""
    found = STEP.get()
    if found is not None:
        return found
    if RUN.get() is not None:
        return None if RUN.get() is not PROCESS.read_environment()[0] else PROCESS.read_environment()[1]
    return PROCESS.only(Step) or (None if PROCESS.only(Run) else PROCESS.read_environment()[1])


def current_place() -> tuple[Run | None, Step | None]:
    """The run and step of an event that is emitted here: a step's own run, else the current one."""
    step = STEP.get()
    if step is None:
        if RUN.get() is None and not PROCESS.open:
            return PROCESS.read_environment()  # what the two questions below come to, in half the time
        step = current_step()
    return (step.run if step is not None else current_run()), step


def current_model() -> EntityRef | None:
    """The model in context: the step's, else the run's."""
    step, run = current_step(), current_run()
    return (step.model if step else None) or (run.model if run else None)


def close_place(item: Run | Step) -> None:
    """Nothing is in this run or step any more."""
    item.closed = True
    with PROCESS.lock, contextlib.suppress(ValueError):  # closed before
        PROCESS.open.remove(item)


Opened = TypeVar("Opened", Run, Step)


def still_open(before: Opened | None) -> Opened | None:
    """What to go back to: nothing, if it was closed meanwhile."""
    return None if before is None or before.closed else before


class StepContext(NamedTuple):
    """What `get_step_context` tells."""

    step_name: str
    run_id: str
    pipeline_name: str | None
    model: EntityRef | None


def get_step_context() -> StepContext:
    """The step this code is in. Raises MissingContextError outside a step."""
    step = current_step()
    if step is None:
        raise MissingContextError("not inside a step: use @step or `with step_context(name):`")
    return StepContext(step.name, step.run.id, step.run.pipeline, current_model())
