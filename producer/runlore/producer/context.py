"""Where code runs: in which run and step. Context variables in a process, environment variables across processes."""

from __future__ import annotations

import contextvars
import os
import threading
import weakref
from collections.abc import Mapping
from types import TracebackType
from typing import Any, NamedTuple

from runlore.producer.lifecycle import default_producer
from runlore.producer.model import Model
from runlore.schemas.errors import MissingContextError
from runlore.schemas.events import RunFinished, RunStarted, StepFinished, StepStarted
from runlore.schemas.ids import new_id
from runlore.schemas.references import EntityRef, check_name, parse_ref
from runlore.schemas.values import pack_metadata

MAX_KEPT = 256
"""Step results without weak references (lists, dicts) remembered a run, for lineage."""


class Made(NamedTuple):
    """A step's output: its artifact and the step."""

    artifact: EntityRef
    step: EntityRef


class Run:
    """An open run as this process knows it."""

    def __init__(self, run_id: str, pipeline: str | None, model: EntityRef | None) -> None:
        self.id, self.pipeline, self.model = run_id, pipeline, model
        self._lock = threading.Lock()
        self._calls: dict[str, int] = {}
        self._made: dict[int, tuple[Any, Made]] = {}

    def step_name(self, name: str) -> str:
        """`name` for its first call in this run and process, then `name_2`, …"""
        with self._lock:
            count = self._calls[name] = self._calls.get(name, 0) + 1
        return name if count == 1 else f"{name}_{count}"

    def remember(self, value: Any, made: Made) -> None:
        """A later step that takes `value` consumes this artifact."""
        # Small values are shared by the interpreter: the same object says nothing about where it came from.
        if value is None or isinstance(value, (bool, int, float, complex, str, bytes, type)):
            return
        with self._lock:
            try:
                held: Any = weakref.ref(value)
            except TypeError:
                held = lambda: value  # noqa: E731 -- stands in for a weak reference
            self._made[id(value)] = (held, made)
            if len(self._made) > MAX_KEPT:
                del self._made[next(iter(self._made))]

    def maker(self, value: Any) -> Made | None:
        """The output that `value` is, if a step of this run and process returned this very object."""
        held, made = self._made.get(id(value), (None, None))
        return made if held is not None and held() is value else None


class Step:
    """An open step as this process knows it."""

    def __init__(self, name: str, run: Run, model: EntityRef | None, outputs: tuple[str, ...] = ()) -> None:
        self.name, self.run, self.model, self.outputs = name, run, model, outputs

    @property
    def ref(self) -> EntityRef:
        return EntityRef("step", self.name, run=self.run.id)


_run: contextvars.ContextVar[Run | None] = contextvars.ContextVar("runlore_run", default=None)
_step: contextvars.ContextVar[Step | None] = contextvars.ContextVar("runlore_step", default=None)


class _Process:
    """The run and step that the environment names, and what is open here, for threads without a context."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.ambient: tuple[Run | None, Step | None] | None = None
        self.open: list[Run | Step] = []

    def read_environment(self) -> tuple[Run | None, Step | None]:
        if self.ambient is None:
            settings = default_producer().settings
            run = step = None
            if settings.run:
                model = parse_ref(settings.model) if settings.model else None
                run = Run(check_name("RUNLORE_RUN_ID", settings.run), settings.pipeline, model)
                if settings.step:
                    step = Step(check_name("RUNLORE_STEP", settings.step), run, model)
            self.ambient = run, step
        return self.ambient

    def only(self, kind: type[Run] | type[Step]) -> Any:
        """The one open run or step of this process; None when there are none or several."""
        found = [item for item in self.open if isinstance(item, kind)]
        return found[0] if len(found) == 1 else None


_process = _Process()
os.register_at_fork(after_in_child=lambda: setattr(_process, "lock", threading.Lock()))


def current_run() -> Run | None:
    """The run this code is in.

    A thread that was started inside a run has no context of its own: the process's one open run is meant.
    """
    return _run.get() or _process.only(Run) or _process.read_environment()[0]


def current_step() -> Step | None:
    """The step this code is in; threads as for `current_run`."""
    found = _step.get()
    if found is not None:
        return found
    if _run.get() is not None:
        return None if _run.get() is not _process.read_environment()[0] else _process.read_environment()[1]
    return _process.only(Step) or (None if _process.only(Run) else _process.read_environment()[1])


def current_model() -> EntityRef | None:
    """The model in context: the step's, else the run's."""
    step, run = current_step(), current_run()
    return (step.model if step else None) or (run.model if run else None)


class _Context:
    """What run and step contexts share: usable with `with` and `async with`, once at a time."""

    async def __aenter__(self) -> Any:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def __enter__(self) -> Any:
        raise AssertionError("run_context and step_context define it")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        raise AssertionError("run_context and step_context define it")


class run_context(_Context):  # noqa: N801 -- used like a function
    """Open a run of a pipeline, or join one that another process opened.

    `run_id`: of the run; a new one when absent. `join`: do not say that it starts and ends; the default when
    the environment already names this run. `parameters`: what the run was started with.

        with run_context("nightly", model=Model("churn")) as run:
            subprocess.run(["python", "train.py"], env={**os.environ, **run.env()})

    An error inside makes the run failed, with its type and message, and is raised again.
    """

    def __init__(
        self,
        pipeline: str | None = None,
        run_id: str | None = None,
        *,
        name: str | None = None,
        model: Model | str | None = None,
        parameters: Mapping[str, Any] | None = None,
        join: bool | None = None,
    ) -> None:
        ambient = _process.read_environment()[0]
        if pipeline is None and not (join or (run_id is not None and ambient is not None and ambient.id == run_id)):
            if run_id is None or join is False:
                raise MissingContextError("run_context needs a pipeline's name, or run_id= of a run to join")
            join = True
        self.run_id = check_name("run_id", run_id) if run_id is not None else new_id()
        self.pipeline = pipeline if pipeline is None else check_name("pipeline", pipeline)
        self.name = name or f"{self.pipeline}-{self.run_id[:8] if run_id is None else self.run_id}"
        self.model = as_model_ref(model)
        self._join = (ambient is not None and ambient.id == self.run_id) if join is None else join
        self._parameters = pack_metadata(parameters) if parameters else {}
        self._run: Run | None = None
        self._token: contextvars.Token[Run | None] | None = None
        self._step_token: contextvars.Token[Step | None] | None = None

    def __enter__(self) -> run_context:
        run = Run(self.run_id, self.pipeline, self.model)
        if not self._join:
            fact = RunStarted(self.pipeline or "", self.name, self.model, self._parameters)
            default_producer().emit_packed(fact, self.run_id, None)
        self._run = run
        self._token, self._step_token = _run.set(run), _step.set(None)
        with _process.lock:
            _process.open.append(run)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._token
        assert self._step_token
        with _process.lock:
            _process.open = [item for item in _process.open if item is not self._run]
        _step.reset(self._step_token)
        _run.reset(self._token)
        if not self._join:
            default_producer().emit_packed(RunFinished(*_outcome(error)), self.run_id, None)

    def env(self) -> dict[str, str]:
        """Variables with which a child process joins this run."""
        return _environment(self.run_id, None, self.pipeline, self.model)


class step_context(_Context):  # noqa: N801 -- used like a function
    """Open a step of the current run (of this process, or of the one the environment names).

    `run_id`: of another run to join. Outside a run a run of its own is opened, named after the step.

        with step_context("train"):
            log_step_metadata({"loss": 0.1})
    """

    def __init__(
        self,
        name: str,
        *,
        run_id: str | None = None,
        model: Model | str | None = None,
        parameters: Mapping[str, Any] | None = None,
        outputs: tuple[str, ...] = (),
        count_calls: bool = False,
    ) -> None:
        self.step_name = check_name("step", name)
        self._run_id = run_id if run_id is None else check_name("run_id", run_id)
        self.model = as_model_ref(model)
        self._parameters = pack_metadata(parameters) if parameters else {}
        self._outputs, self._count_calls = outputs, count_calls
        self._own_run: run_context | None = None
        self._token: contextvars.Token[Step | None] | None = None
        self.step: Step | None = None

    @property
    def run_id(self) -> str:
        """ID of the run; known once the context is entered."""
        if self.step is None:
            raise MissingContextError("the step is not open: enter the context first")
        return self.step.run.id

    def __enter__(self) -> step_context:
        run = current_run()
        if self._run_id is not None and (run is None or run.id != self._run_id):
            self._own_run = run_context(run_id=self._run_id, join=True)
        elif run is None:
            self._own_run = run_context(self.step_name, model=None)
        if self._own_run is not None:
            self._own_run.__enter__()
            run = current_run()
        assert run
        if self._count_calls:
            self.step_name = run.step_name(self.step_name)
        self.step = step = Step(self.step_name, run, self.model or run.model, self._outputs)
        default_producer().emit_packed(StepStarted(self.model, self._parameters), run.id, step.name)
        self._token = _step.set(step)
        with _process.lock:
            _process.open.append(step)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.step
        assert self._token
        with _process.lock:
            _process.open = [item for item in _process.open if item is not self.step]
        _step.reset(self._token)
        default_producer().emit_packed(StepFinished(*_outcome(error)), self.step.run.id, self.step.name)
        if self._own_run is not None:
            self._own_run.__exit__(kind, error, trace)
            self._own_run = None

    def env(self) -> dict[str, str]:
        """Variables with which a child process works inside this step."""
        assert self.step
        return _environment(self.run_id, self.step_name, self.step.run.pipeline, self.step.model)


def _outcome(error: BaseException | None) -> tuple[Any, str | None, str | None]:
    if error is None:
        return "completed", None, None
    return "failed", type(error).__qualname__, str(error).encode("utf-8", "replace").decode()[:10_000]


def as_model_ref(model: Model | str | None) -> EntityRef | None:
    """The reference of a Model or a model's name."""
    if model is None:
        return None
    return (Model(model) if isinstance(model, str) else model).ref()


def _environment(run: str, step: str | None, pipeline: str | None, model: EntityRef | None) -> dict[str, str]:
    settings = default_producer().settings
    values = {
        "RUNLORE_RUN_ID": run,
        "RUNLORE_STEP": step or "",
        "RUNLORE_PIPELINE": pipeline or "",
        "RUNLORE_MODEL": "" if model is None else str(model),
        "RUNLORE_PROJECT": settings.project,
        "RUNLORE_URL": settings.url or "",
        "RUNLORE_DATA_DIR": str(settings.data_dir),
        "RUNLORE_MODE": settings.mode,
    }
    if settings.credentials:
        values["RUNLORE_CREDENTIALS"] = settings.credentials
    return values


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
