"""Where code is: the open runs and steps of this process, and the ones the environment names."""

from __future__ import annotations

import contextvars
import os
import sys
import threading
import weakref
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

from runlore.producer.call_lock import CallLock
from runlore.producer.lifecycle import default_producer
from runlore.producer.runs.board import Board, board_of, own_board
from runlore.producer.runs.environment import EXPORTED, RUN_VARIABLE, STEP_VARIABLE, child_environment, place_variables
from runlore.producer.runs.nesting import around, innermost, owner, take_out
from runlore.schemas.limits import MAX_STEP_BYTES
from runlore.schemas.names import check_name
from runlore.schemas.references import EntityRef, parse_ref
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
        self.owner = owner()
        self.outer = around(RUN.get(), self.owner)
        self.closed = False
        self._lock = CallLock()
        self._calls: dict[str, int] = {}
        self._names: set[str] = set()
        self._made: dict[int, tuple[Any, Made]] = {}

    def step_name(self, name: str) -> str:
        """`name` for its first call in this run and process, then `name_2`, … unless another step is called so."""
        with self._lock:
            free = name
            while free in self._names:
                count = self._calls[name] = self._calls.get(name, 1) + 1
                free = f"{name}_{count}"
            self._names.add(free)
        return free

    def take_name(self, name: str) -> str:
        """`name` itself: no other step's later call gets it."""
        with self._lock:
            self._names.add(name)
        return name

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
        self.ref = EntityRef("step", name, run=run.id)
        self.threads = frozenset(threading.enumerate())
        self.owner = owner()
        self.outer = around(STEP.get(), self.owner)
        self.closed = False


RUN: contextvars.ContextVar[Run | None] = contextvars.ContextVar("runlore_run", default=None)
STEP: contextvars.ContextVar[Step | None] = contextvars.ContextVar("runlore_step", default=None)
Opened = TypeVar("Opened", Run, Step)


def _shown(step: Step) -> str:
    return f"{step.run.id}\0{step.name}"


def is_worker() -> bool:
    """Whether multiprocessing, concurrent.futures or joblib started this process."""
    process = sys.modules.get("multiprocessing.process")
    return process is not None and process.parent_process() is not None


class _Process:
    """The run and step that the environment names, and what is open here, for threads without a context."""

    def __init__(self) -> None:
        self.lock = CallLock()
        self.ambient: tuple[Run | None, Step | None] = None, None
        self.ambient_of: Settings | None = None
        self.open: list[Run | Step] = []
        self.opened = False
        """A run or step was open at some time."""
        self.forked_inside = False
        """This process was forked while one was open."""
        self.board: Board | None = None
        """Shows what is open here to this process's workers."""
        self.board_in: Path | None = None
        self.board_for: Settings | None = None
        self.parents_board: Board | None = None

    def read_environment(self) -> tuple[Run | None, Step | None]:
        """The ambient run and step: those of the environment, or of the process that this one was forked from."""
        settings = default_producer().settings
        if self.ambient_of is not settings:
            self._read(settings)
        return self.ambient if self.parents_board is None else self._still_open(self.parents_board)

    def _read(self, settings: Settings) -> None:
        run = step = None
        if settings.run:
            model = parse_ref(settings.model) if settings.model else None
            run = Run(check_name(RUN_VARIABLE, settings.run), settings.pipeline, model)
            if settings.step:
                step = Step(check_name(STEP_VARIABLE, settings.step, MAX_STEP_BYTES), run, model)
        self.ambient, self.ambient_of = (run, step), settings
        if run is not None and settings.parent_process is not None and is_worker():
            self.parents_board = board_of(settings.data_dir, settings.parent_process)

    def _still_open(self, board: Board) -> tuple[Run | None, Step | None]:
        """A worker is used again after the step or run that it was started in: then it is in neither."""
        run, step = self.ambient
        if run is None or not is_worker():
            return self.ambient
        if not board.has(run.id):
            return None, None
        return run, step if step is None or board.has(_shown(step)) else None

    def become_forked(self) -> None:
        """In a forked child: what the parent has open here is ambient, as in a child with an environment."""
        self.lock = CallLock()
        if not self.open and RUN.get() is None:
            return
        self.ambient = current_place()
        self.ambient_of = default_producer().settings
        self.forked_inside, self.parents_board = True, self.board
        self.open, self.board, self.board_in, self.board_for = [], None, None, None
        RUN.set(None)
        STEP.set(None)
        EXPORTED.inherit()

    def only(self, kind: type[Run] | type[Step]) -> Any:
        """The one open run or step that was opened before this thread started; None when several were."""
        if not self.open:
            return None
        thread = threading.current_thread()
        found = [item for item in self.open if isinstance(item, kind) and thread not in item.threads]
        return found[0] if len(found) == 1 else None

    def innermost(self) -> tuple[Run | None, Step | None]:
        """The one place that is open here, seen from outside: by a child process or by a thread without a context.

        That is the only run, or the innermost of runs nested in each other, and such a step of it.
        """
        steps = [item for item in self.open if isinstance(item, Step)]
        run = innermost(list({item if isinstance(item, Run) else item.run: None for item in self.open}))
        return run, innermost([step for step in steps if step.run is run])

    def export(self) -> None:
        """Put the open place into the environment, for children."""
        settings = default_producer().settings
        self._show_workers(settings)
        if not self.open:
            return EXPORTED.restore()
        run, step = self.innermost()
        model = (step.model if step else None) or (run.model if run else None)
        place = None if run is None else place_variables(run.id, step.name if step else None, run.pipeline, model)
        EXPORTED.export(place, settings)

    def _show_workers(self, settings: Settings) -> None:
        if self.board_for is not settings:  # two paths are compared once, not at each step
            self._move_board(settings)
        if self.board is not None:
            steps = [item for item in self.open if isinstance(item, Step)]
            runs = {item.id for item in self.open if isinstance(item, Run)} | {step.run.id for step in steps}
            self.board.show([*runs, *map(_shown, steps)])

    def _move_board(self, settings: Settings) -> None:
        if self.board_in != settings.data_dir and settings.mode != "disabled":
            if self.board is not None:
                self.board.show(())
            self.board, self.board_in = own_board(settings.data_dir), settings.data_dir
        self.board_for = settings


PROCESS = _Process()
os.register_at_fork(after_in_child=PROCESS.become_forked)


def current_run() -> Run | None:
    """The run this code is in.

    A thread that was started while one run was open, and has no context of its own, belongs to that run.
    """
    run = RUN.get()
    if run is not None:
        return run
    step = STEP.get()
    return step.run if step is not None else PROCESS.only(Run) or PROCESS.read_environment()[0]


def run_of_step() -> Run | None:
    """The run that a step opened here belongs to: the current one, else the only one that is open at all.

    A pool's thread may be older than the run and have no context, yet its step is a part of some run.
    """
    return current_run() or PROCESS.innermost()[0]


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


def open_place(item: Run | Step) -> None:
    """Let threads without a context and child processes find this run or step."""
    with PROCESS.lock:
        PROCESS.opened = True
        PROCESS.open = [*PROCESS.open, item]
        PROCESS.export()


def close_place(item: Run | Step) -> None:
    """Nothing is in this run or step any more."""
    item.closed = True
    with PROCESS.lock:
        PROCESS.open = [other for other in PROCESS.open if other is not item]
        take_out(item, PROCESS.open)
        PROCESS.export()


def still_open(before: Opened | None) -> Opened | None:
    """What to go back to: nothing, if it was closed meanwhile."""
    return None if before is None or before.closed else before


def environment(run: str, step: str | None, pipeline: str | None, model: EntityRef | None) -> dict[str, str]:
    """Variables with which a child process joins a run or step, and sends to the same log."""
    return child_environment(place_variables(run, step, pipeline, model), default_producer().settings)
