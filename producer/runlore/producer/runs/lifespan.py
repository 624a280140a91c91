"""The lifespan of a run or step: its start and end are recorded, even when interrupted."""

from __future__ import annotations

import abc
import datetime as dt
import os
from types import TracebackType
from typing import NamedTuple, Self, get_args

from runlore.producer.aside import PutAside
from runlore.producer.lifecycle import before_end, default_producer
from runlore.producer.runs.outcome import Outcome, outcome
from runlore.producer.tracing import RunSpan, begin_span, end_span
from runlore.schemas.errors import ArgumentError, OutboxError
from runlore.schemas.events import RunFinished, RunStarted, RunStatus, StepFinished, StepStarted
from runlore.schemas.validity import check_occurred_at


class End(NamedTuple):
    """What `finish` was told."""

    status: RunStatus | None = None
    occurred_at: dt.datetime | None = None


class Lifespan(abc.ABC):
    """Base of run and step contexts: usable with `with` and `async with`, once at a time, or with `finish`.

    An exception may end `__enter__` or `__exit__` at any instruction (Ctrl-C). A run or step whose start was recorded
    is then recorded as failed; one that an interruption of `__exit__`'s first instruction leaves open, at the process's
    end.
    """

    _started: PutAside | None = None
    """The start event; None when another process records it."""
    _ended: PutAside | None = None
    _started_at: dt.datetime | None = None
    """When it started, if not now."""
    _end: End = End()
    """How it ends, where `finish` says more than its error does."""
    _finished: bool = False
    _span: RunSpan | None = None
    """Its span, where the settings ask for one and OpenTelemetry is loaded."""
    _closing: tuple[str, str | None] = "failed", None
    """Status and message of the span's end."""

    def finish(
        self,
        status: RunStatus | None = None,
        *,
        error: BaseException | None = None,
        occurred_at: dt.datetime | None = None,
    ) -> None:
        """End what `start_run` or `start_step` opened, as leaving a `with` block does.

        `error` makes it failed, with type and message. `status` is ``completed``, ``failed`` or ``killed``; without it
        the error decides. `occurred_at`: when it ended, if not now. Raises MissingContextError if it is not open.
        """
        if status is not None and status not in get_args(RunStatus):
            raise ArgumentError(f"status must be one of {', '.join(get_args(RunStatus))}, not {ascii(status)[:40]}")
        end = End(status, check_occurred_at(occurred_at))
        self._check_open()
        self._end = end
        self.__exit__(None if error is None else type(error), error, None)
        self._finished = True

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def __enter__(self) -> Self:
        self._check_closed()
        self._end, self._finished = End(), False
        try:
            self._enter()
            return self
        except BaseException as error:  # KeyboardInterrupt above all: the start may be in the log already
            self.give_up(error)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._finished:  # inside its `with` block, by `finish`
            return
        try:
            self._leave(error)
        except BaseException as failure:  # KeyboardInterrupt above all: the end may not be in the log yet
            self.give_up(failure)
            raise

    @abc.abstractmethod
    def _check_closed(self) -> None:
        """Raise MissingContextError if it is open already."""

    @abc.abstractmethod
    def _check_open(self) -> None:
        """Raise MissingContextError if it is not open."""

    @abc.abstractmethod
    def _enter(self) -> None:
        """Record the start, and become the current run or step."""

    @abc.abstractmethod
    def _leave(self, error: BaseException | None) -> None:
        """Record the end, and restore what was current before."""

    @abc.abstractmethod
    def give_up(self, error: BaseException) -> None:
        """Close it as failed, unless it has not started or has ended."""

    def _say_start(self, fact: RunStarted | StepStarted, run: str, step: str | None) -> None:
        producer = default_producer()
        if producer.settings.spans:
            self._begin_span(fact, run, step)
        self._ended, self._started = None, producer.prepared(fact, run, step, None, self._started_at)
        _UNFINISHED[self] = None
        producer.emit_prepared(self._started)

    def _say_end(
        self, fact: RunFinished | StepFinished, run: str, step: str | None, error: BaseException | None
    ) -> None:
        producer = default_producer()
        self._closing = fact.status, fact.error_message or fact.error_type
        self._ended = producer.prepared(fact, run, step, None, self._end.occurred_at)
        try:
            producer.emit_prepared(self._ended)
        except OutboxError as failure:
            if error is None:
                raise
            error.add_note(f"runlore could not store that the step or run failed: {failure}")
        self._forget()

    def _outcome(self, error: BaseException | None) -> Outcome:
        """How it ended: as its error says, unless `finish` was given a status."""
        status, kind, message = outcome(error, redacted=default_producer().settings.redact)
        return self._end.status or status, kind, message

    def _begin_span(self, fact: RunStarted | StepStarted, run: str, step: str | None) -> None:
        attributes = {"runlore.run": run}
        if isinstance(fact, RunStarted):
            name = f"run {fact.pipeline}"
            attributes |= {"runlore.pipeline": fact.pipeline, "runlore.run_name": fact.name}
        else:
            name = f"step {step}"
            attributes |= {"runlore.step": step or ""}
        self._span, self._closing = begin_span(name, attributes, self._started_at), ("failed", None)

    def _forget(self) -> None:
        _UNFINISHED.pop(self, None)
        opened, self._span = self._span, None
        if opened is not None:
            end_span(opened, *self._closing, self._end.occurred_at)

    def _is_unfinished(self) -> bool:
        """Return whether the log says, or will say, that it has started, and not that it has ended."""
        has = default_producer().has_emitted
        return self._started is not None and has(self._started) and (self._ended is None or not has(self._ended))


_UNFINISHED: dict[Lifespan, None] = {}
"""Runs and steps that this process has started and not ended."""


class ProcessEndedError(Exception):
    """The error of a run or step that was still open when its process ended."""


@before_end
def fail_unfinished() -> None:
    """Fail whatever is open at the process's end: steps first, then their runs."""
    for context in reversed(list(_UNFINISHED)):
        context.give_up(ProcessEndedError("the process ended before this was closed"))


os.register_at_fork(after_in_child=_UNFINISHED.clear)  # the parent's
