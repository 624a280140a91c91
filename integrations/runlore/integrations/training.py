"""A training as its host tells it, call by call: where its values go, and how it ends."""

from __future__ import annotations

import atexit
import sys
from collections.abc import Iterable, Mapping
from functools import cache
from types import TracebackType
from typing import Any, Literal, NamedTuple, Self

from runlore.integrations.guard import Guard
from runlore.integrations.storable import numbers, storable
from runlore.producer import current_entity, log_metadata, redact_parameters, start_run, start_step
from runlore.schemas import EntityRef

Status = Literal["completed", "failed", "killed"]


class Options(NamedTuple):
    """What a user says about the run of a training."""

    pipeline: str
    name: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()
    parameters: Mapping[str, Any] | None = None


class Training:
    """One training of a host: the step or run that is open, else a run of its own.

    No method raises, and none waits: an adapter calls them inside its host's loop.
    """

    def __init__(self, guard: Guard, options: Options, *, as_step: str | None = None) -> None:
        """`as_step`: inside a run without a step, the training is a step of that name."""
        self.owner: type | None = None
        """The kind of callback that it belongs to."""
        self._guard = guard
        self._opened: Any = None
        self._target: EntityRef | None = None
        guard.run(lambda: self._open(options, as_step))

    def _open(self, options: Options, as_step: str | None) -> None:
        outer = current_entity()
        given: dict[str, Any] = {} if options.parameters is None else storable(options.parameters)
        if outer is not None and outer.kind == "run" and as_step is not None:
            self._opened = start_step(as_step, count_calls=True, parameters=given)
            self._target = EntityRef("step", self._opened.step_name, run=outer.name)
        elif outer is not None:
            self._target = outer
        else:
            self._opened = start_run(options.pipeline, name=options.name, group=options.group, tags=options.tags,
                                     parameters=given)  # fmt: skip
            self._target = EntityRef("run", self._opened.run_id)
            _remember(self)
        if self._opened is None and given:
            log_metadata({"parameters": redact_parameters(given)}, self._target, merge=True)

    @property
    def run_id(self) -> str | None:
        """ID of the run that it is, or is a part of; None where it could not be recorded."""
        target = self._target
        return None if target is None else target.run or target.name

    @property
    def target(self) -> EntityRef | None:
        """The run or step that its values are logged on."""
        return self._target

    @property
    def is_open(self) -> bool:
        """True while it has a run or step of its own that has not ended."""
        return self._opened is not None

    def parameters(self, given: Any) -> None:
        """Log settings, a mapping or an object's attributes, besides those that it was opened with."""
        self.log(
            {"parameters": lambda: redact_parameters(storable(given if isinstance(given, Mapping) else vars(given)))}
        )

    def metrics(self, values: Mapping[str, Any], step: int | None = None, prefix: str = "") -> None:
        """Log the numbers among a host's measurements."""
        self.log({"metrics": lambda: numbers(values, prefix)}, step)

    def log(self, groups: Mapping[str, Any], step: int | None = None) -> None:
        """Add values to groups; a function is called for its value, so that its errors are ours, too."""
        if self._target is not None:
            self._guard.run(lambda: self._log(groups, step))

    def _log(self, groups: Mapping[str, Any], step: int | None) -> None:
        found = {name: group() if callable(group) else group for name, group in groups.items()}
        found = {name: group for name, group in found.items() if group not in ({}, None)}
        if found:
            log_metadata(found, self._target, merge=True, step=step)

    def finish(self, status: Status | None = None, error: BaseException | None = None) -> None:
        """End what was opened for it: killed by an interrupt, failed by another error, else completed."""
        opened, self._opened = self._opened, None
        _OPEN.pop(self, None)
        if opened is not None:
            ended = "killed" if status is None and isinstance(error, KeyboardInterrupt) else status
            self._guard.run(lambda: opened.finish(ended, error=error))


@cache
def guard_of(adapter: str) -> Guard:
    """One for each adapter in a process, so that a reason is told once."""
    return Guard(adapter)


class Recorded:
    """Base of callbacks: the training that is going on, and what its user says about it.

    Hosts tell a callback nothing of an error that ends their loop. Inside ``with callback:`` it ends the run at once;
    without, the end of the process tells an interrupt from another error.
    """

    ADAPTER = "A training"
    PIPELINE = "train"

    def __init__(
        self,
        pipeline: str | None = None,
        *,
        name: str | None = None,
        group: str | None = None,
        tags: Iterable[str] = (),
        parameters: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__()
        self._options = Options(pipeline or self.PIPELINE, name, group, tuple(tags), parameters)
        self._training: Training | None = None
        """The one that is going on, or the last one."""
        self.run_id: str | None = None
        """ID of the last training's run."""

    @property
    def _guard(self) -> Guard:
        return guard_of(self.ADAPTER)

    def begin(self, **options: Any) -> Training:
        """Open a training; one that the same host left without an end failed."""
        self._guard.run(lambda: _fail_abandoned(type(self)))
        self._training = Training(self._guard, self._options._replace(**options))
        self._training.owner = type(self)
        self.run_id = self._training.run_id
        return self._training

    def end(self, status: Status | None = None, error: BaseException | None = None) -> None:
        """End the training that is going on; what the host tells later is logged on it all the same."""
        if self._training is not None:
            self._training.finish(status, error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end(error=error)

    def __getstate__(self) -> dict[str, Any]:
        """Hosts copy and pickle their callbacks: a copy has no training that is going on."""
        return {**self.__dict__, "_training": None}


_OPEN: dict[Training, None] = {}
"""Trainings whose runs are open."""
_hooked: list[bool] = []


def _remember(training: Training) -> None:
    _OPEN[training] = None
    if not _hooked:  # after the producer's own hook, so that it is called before it
        _hooked.append(True)
        atexit.register(_end_open)


def _fail_abandoned(owner: type) -> None:
    """A loop of this host that began and never ended had an error; else the next training would be a part of it."""
    current = current_entity()
    for training in list(_OPEN):
        if current is not None and training.owner is owner and training.target == current:
            training.finish("failed")


def _end_open() -> None:
    """At the process's end an error that nobody caught is the one that ended the loop."""
    error: Any = getattr(sys, "last_value", None)
    for training in list(_OPEN):
        if isinstance(error, BaseException):
            training.finish(error=error)
