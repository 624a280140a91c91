"""Optuna: ``optimize(study, objective, n_trials=20)`` records a study and its trials as runs.

Each trial is a run: what the objective logs goes there, and its parent is the run of the optimization. All of them have
the study's name as their group. A pruned trial was killed.
"""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, Self

from runlore.integrations.storable import storable
from runlore.integrations.training import Status, guard_of
from runlore.producer import current_entity, log_metadata, start_run

Objective = Callable[[Any], Any]
STATUSES: dict[str, Status] = {"COMPLETE": "completed", "PRUNED": "killed", "FAIL": "failed"}


def optimize(
    study: Any,
    objective: Objective,
    *,
    callbacks: Iterable[Callable[[Any, Any], None]] = (),
    tags: Iterable[str] = (),
    **options: Any,
) -> None:
    """Call ``study.optimize`` with these options, and record it.

    study = optuna.create_study(study_name="churn")
    optimize(study, objective, n_trials=20)
    """
    with RunloreCallback(study, tags=tags) as callback:
        study.optimize(callback.track(objective), callbacks=[callback, *(callbacks or ())], **options)


class RunloreCallback:
    """What `optimize` uses, for those who call ``study.optimize``, or ``ask`` and ``tell``, themselves.

    with RunloreCallback(study) as callback:
        study.optimize(callback.track(objective), n_trials=20, callbacks=[callback])
    """

    def __init__(self, study: Any, *, pipeline: str = "optuna", tags: Iterable[str] = ()) -> None:
        self._study, self._pipeline, self._tags = study, pipeline, tuple(tags)
        self._guard = guard_of("Optuna")
        self._run: Any = None
        self._entered = False
        self._trials: dict[int, Any] = {}
        """Open runs of trials, by their number."""
        self._errors: dict[int, BaseException] = {}

    @property
    def run_id(self) -> str | None:
        """ID of the optimization's run; None where it could not be recorded."""
        return None if self._run is None else self._run.run_id

    def track(self, objective: Objective) -> Objective:
        """Return the objective with a run around each of its calls."""

        @functools.wraps(objective)
        def call(trial: Any) -> Any:
            self._guard.run(lambda: self._start_trial(trial))
            try:
                return objective(trial)
            except BaseException as error:
                self._errors[trial.number] = error
                raise

        return call

    def __call__(self, study: Any, trial: Any) -> None:
        """Record a trial that has ended."""
        self._guard.run(lambda: self._end_trial(trial))

    def __enter__(self) -> Self:
        self._entered = True
        self._guard.run(self._start)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._guard.run(self._end_left)
        self._guard.run(lambda: self._end(error))

    def _start(self) -> None:
        study: Any = self._study
        outer = current_entity()
        directions = [direction.name.lower() for direction in study.directions]
        told = {
            "direction": directions[0] if len(directions) == 1 else directions,
            "sampler": type(study.sampler).__name__,
            "pruner": type(study.pruner).__name__,
            **{name: storable(value) for name, value in study.user_attrs.items()},
        }
        self._run = start_run(self._pipeline, name=study.study_name, group=study.study_name, tags=self._tags,
                              parent=None if outer is None else outer.run or outer.name, parameters=told)  # fmt: skip

    def _end(self, error: BaseException | None) -> None:
        run, study = self._run, self._study
        if run is None:
            return
        self._guard.run(lambda: log_metadata(summary(study), f"run:{run.run_id}"))
        run.finish("killed" if isinstance(error, KeyboardInterrupt) else None, error=error)

    def _start_trial(self, trial: Any) -> None:
        if not self._entered:
            self._guard.warn("RunloreCallback records inside its `with` block only")
        if self._run is not None and trial.number not in self._trials:
            self._trials[trial.number] = start_run(
                f"{self._pipeline}-trial", name=f"{self._study.study_name}-{trial.number}", parent=self._run.run_id,
                group=self._study.study_name, tags=self._tags, occurred_at=_moment(trial.datetime_start),
                environment={},  # that of the optimization's run
            )  # fmt: skip

    def _end_trial(self, trial: Any) -> None:
        self._start_trial(trial)
        run = self._trials.pop(trial.number, None)
        error = self._errors.pop(trial.number, None)
        if run is None:
            return
        self._guard.run(lambda: self._log_trial(run.run_id, trial))
        status = "killed" if isinstance(error, KeyboardInterrupt) else STATUSES[trial.state.name]
        run.finish(status, error=error, occurred_at=_moment(trial.datetime_complete))

    def _log_trial(self, run_id: str, trial: Any) -> None:
        target = f"run:{run_id}"
        for step, value in trial.intermediate_values.items():
            log_metadata({"metrics": {"intermediate": float(value)}}, target, merge=True, step=step)
        told: dict[str, Any] = {
            "parameters": storable(trial.params),
            "metrics": _values(self._study, trial),
            "trial": {"number": trial.number, "state": trial.state.name},
            "user_attributes": storable(trial.user_attrs),
        }
        log_metadata({name: group for name, group in told.items() if group}, target, merge=True)

    def _end_left(self) -> None:
        """Trials that Optuna tells no callback of: an error or an interrupt ended the study with them."""
        for trial in self._study.get_trials(deepcopy=False) if self._trials else ():
            if trial.number in self._trials and trial.state.is_finished():
                self._guard.run(functools.partial(self._end_trial, trial))
        for number in list(self._trials):
            run = self._trials.pop(number)
            self._guard.run(functools.partial(run.finish, "failed", error=self._errors.pop(number, None)))


def summary(study: Any) -> dict[str, Any]:
    """What a study knows at its end: its best trial or trials, and how many there were of each state."""
    trials = study.get_trials(deepcopy=False)
    names = [trial.state.name.lower() for trial in trials]
    found: dict[str, Any] = {"trials": {name: names.count(name) for name in sorted(set(names))}}
    best: list[Any] = study.best_trials if any(name == "complete" for name in names) else []
    if len(study.directions) == 1 and best:
        best = [study.best_trial]
        found["metrics"] = {f"best_{name}": value for name, value in _values(study, best[0]).items()}
        found["best_parameters"] = storable(best[0].params)
    if best:
        found["best_trials"] = [trial.number for trial in best][:1_000]
    return found


def _values(study: Any, trial: Any) -> dict[str, float]:
    """Values of a trial, under the study's names for them."""
    values = trial.values or ()
    given: Any = study.metric_names
    names = given or (["value"] if len(values) == 1 else [f"value_{index}" for index in range(len(values))])
    return dict(zip(names, map(float, values), strict=False))


def _moment(when: dt.datetime | None) -> dt.datetime | None:
    """Optuna's times are local ones."""
    return None if when is None else when.astimezone(dt.UTC)
