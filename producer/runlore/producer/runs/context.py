"""Run and step contexts: what `with run_context(...)` and `with step_context(...)` open and end."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

from runlore.producer.runs.arguments import pack_parameters
from runlore.producer.runs.describe import describe_run
from runlore.producer.runs.lifespan import Lifespan
from runlore.producer.runs.lost import is_lost, log_lost_step
from runlore.producer.runs.model import Model
from runlore.producer.runs.place import (
    PROCESS,
    RUN,
    STEP,
    Run,
    Step,
    close_place,
    current_run,
    environment,
    open_place,
    run_of_step,
    still_open,
)
from runlore.producer.runs.system_metrics import leave_run, watch_run
from runlore.schemas.errors import MissingContextError
from runlore.schemas.events import RunFinished, RunStarted, StepFinished, StepStarted
from runlore.schemas.ids import new_id
from runlore.schemas.names import check_label, check_name
from runlore.schemas.references import EntityRef, checked
from runlore.schemas.validity import check_occurred_at, exact_tags


class run_context(Lifespan):  # noqa: N801 -- used like a function
    """Open a run of a pipeline, or join one that another process opened.

    `run_id`: of the run; a new one when absent. `join`: do not say that it starts and ends; the default when
    the environment already names this run. `parameters`: what the run was started with. `retry_of`: ID of the
    run that failed before and is tried again with this one. `parent`: ID of the run that this one is a part of.
    `group`: what it is listed with. `tags`: texts to find it by. `occurred_at`: when it started, if not now.
    `environment`: what it runs in, ``{}`` for nothing; by default this process describes itself (``RUNLORE_DESCRIBE``).

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
        retry_of: str | None = None,
        parent: str | None = None,
        group: str | None = None,
        tags: Iterable[str] = (),
        environment: Mapping[str, Any] | None = None,
        occurred_at: dt.datetime | None = None,
    ) -> None:
        ambient = PROCESS.read_environment()[0]
        same = ambient if ambient is not None and ambient.id == run_id else None
        if pipeline is None and (run_id is None or join is False):
            raise MissingContextError("run_context needs a pipeline's name, or run_id= of a run to join")
        self._join = join if join is not None else (same is not None or pipeline is None)
        if same is not None:
            pipeline = same.pipeline if pipeline is None else pipeline
        self.run_id = check_name("run_id", run_id) if run_id is not None else new_id()
        self.pipeline = pipeline if pipeline is None else check_name("pipeline", pipeline)
        # The end of a UUIDv7 is random; its start is the time.
        label = "" if name is None else check_label("run name", name)
        self.name = label or f"{self.pipeline}-{self.run_id[-8:] if run_id is None else self.run_id}"
        self.model = as_model_ref(model) or (same.model if same is not None else None)
        self._parameters = pack_parameters(parameters) if parameters else {}
        self._retry_of = None if retry_of is None else checked(EntityRef("run", retry_of))
        self._parent = None if parent is None else checked(EntityRef("run", parent))
        self._group = None if group is None else check_name("group", group)
        self._tags = exact_tags(tags)
        self._environment = environment
        self._started_at = check_occurred_at(occurred_at)
        self._run: Run | None = None
        self._before: tuple[Run | None, Step | None] = None, None

    def _check_closed(self) -> None:
        if self._run is not None:
            raise MissingContextError(f"run {self.run_id} is open already: make a new run_context for another run")

    def _check_open(self) -> None:
        if self._run is None:
            raise MissingContextError(f"run {self.run_id} is not open: it has ended, or was never started")

    def _enter(self) -> None:
        run = Run(self.run_id, self.pipeline, self.model)
        if not self._join:
            fact = RunStarted(
                self.pipeline or "",
                self.name,
                self.model,
                self._parameters,
                self._retry_of,
                self._parent,
                self._group,
                self._tags,
            )
            self._say_start(fact, run.id, None)
            describe_run(run.id, self._environment)
            watch_run(run.id)
        self._before = RUN.get(), STEP.get()
        self._run = run
        RUN.set(run)
        STEP.set(None)
        open_place(run)

    def _leave(self, error: BaseException | None) -> None:
        self._close()
        if not self._join:
            self._say_end(RunFinished(*self._outcome(error)), self.run_id, None, error)

    def give_up(self, error: BaseException) -> None:
        """Close the run as failed, unless it has not started or has ended."""
        self._close()
        if self._is_unfinished():
            self._say_end(RunFinished(*self._outcome(error)), self.run_id, None, error)
        self._forget()

    def _close(self) -> None:
        """Each line may be interrupted; done once more, all of them lead to the same end."""
        run = self._run
        if run is None:
            return
        leave_run(run.id)
        close_place(run)
        # Set, not reset by token: a generator may end in another context than it began in.
        if RUN.get() is run:
            STEP.set(still_open(self._before[1]))
            RUN.set(still_open(self._before[0]))
        self._run = None

    def start_step(self, name: str, **options: Any) -> step_context:
        """Open a step of this run without `with`; see `start_step`."""
        return start_step(name, run_id=self.run_id, **options)

    def env(self) -> dict[str, str]:
        """Variables with which a child process joins this run."""
        return environment(self.run_id, None, self.pipeline, self.model)


class step_context(Lifespan):  # noqa: N801 -- used like a function
    """Open a step of the current run (of this process, or of the one the environment names).

    `run_id`: of another run to join. Outside a run the step opens its own, named after it. A thread that
    knows no run belongs to the only one that is open; where several are, the step has its own run, with a warning.

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
        retry_of: EntityRef | None = None,
        occurred_at: dt.datetime | None = None,
    ) -> None:
        self._started_at = check_occurred_at(occurred_at)
        self.step_name = check_name("step", name)
        self._run_id = run_id if run_id is None else check_name("run_id", run_id)
        self.model = as_model_ref(model)
        self._parameters = pack_parameters(parameters) if parameters else {}
        self._outputs, self._count_calls, self._retry_of = outputs, count_calls, retry_of
        self._own_run: run_context | None = None
        self._before: Step | None = None
        self.step: Step | None = None

    @property
    def run_id(self) -> str:
        """ID of the run; known once the context is entered."""
        if self.step is None:
            raise MissingContextError("the step is not open: enter the context first")
        return self.step.run.id

    def _check_closed(self) -> None:
        if self.step is not None and not self.step.closed:
            raise MissingContextError(f"step {self.step_name!r} is open already: make a new step_context")

    def _check_open(self) -> None:
        if self.step is None or self.step.closed:
            raise MissingContextError(f"step {self.step_name!r} is not open: it has ended, or was never started")

    def _enter(self) -> None:
        run, lost = run_of_step(), False
        if self._run_id is not None and (run is None or run.id != self._run_id):
            self._own_run = run_context(run_id=self._run_id, join=True)
        elif run is None:
            lost = is_lost()
            self._own_run = run_context(self.step_name, model=None)
        if self._own_run is not None:
            self._own_run.__enter__()
            run = current_run()
        assert run
        self._start(run)
        if lost:
            log_lost_step(EntityRef("step", self.step_name, run=run.id))

    def _start(self, run: Run) -> None:
        self.step_name = run.step_name(self.step_name) if self._count_calls else run.take_name(self.step_name)
        step = Step(self.step_name, run, self.model or run.model, self._outputs)
        self._before = STEP.get()
        self.step = step
        self._say_start(StepStarted(self.model, self._parameters, self._retry_of), run.id, step.name)
        STEP.set(step)
        open_place(step)

    def _leave(self, error: BaseException | None) -> None:
        self._close()
        try:
            self._say_end(StepFinished(*self._outcome(error)), self.run_id, self.step_name, error)
        finally:
            self._leave_own_run(error)

    def give_up(self, error: BaseException) -> None:
        """Close the step as failed, unless it has not started or has ended."""
        self._close()
        if self._is_unfinished():
            self._say_end(StepFinished(*self._outcome(error)), self.run_id, self.step_name, error)
        self._forget()
        if self._own_run is not None:
            self._own_run.give_up(error)

    def _close(self) -> None:
        step = self.step
        if step is None:
            return
        close_place(step)
        if STEP.get() is step:
            STEP.set(still_open(self._before))
        self._before = None

    def _leave_own_run(self, error: BaseException | None) -> None:
        if self._own_run is not None:
            self._own_run.__exit__(type(error) if error else None, error, None)
            self._own_run = None

    def env(self) -> dict[str, str]:
        """Variables with which a child process works inside this step."""
        assert self.step
        return environment(self.run_id, self.step_name, self.step.run.pipeline, self.step.model)


def start_run(pipeline: str, run_id: str | None = None, **options: Any) -> run_context:
    """Open a run without `with`, for callbacks and importers; end it with `finish`. Arguments as for `run_context`.

        run = start_run("nightly", group="seeds", tags=["cpu"])
        train = run.start_step("train")
        log_metadata({"loss": 0.3}, step=1)
        train.finish()
        run.finish("completed")

    A run that is never finished fails when its process ends.
    """
    return run_context(pipeline, run_id, **options).__enter__()


def start_step(name: str, **options: Any) -> step_context:
    """Open a step without `with`; end it with `finish`. Arguments as for `step_context`.

    start_step("evaluate").finish()
    """
    return step_context(name, **options).__enter__()


def as_model_ref(model: Model | str | None) -> EntityRef | None:
    """The reference of a Model or a model's name."""
    if model is None:
        return None
    return (model if isinstance(model, Model) else Model(model)).ref()
