"""From the start of a run or step to its end, whatever interrupts it."""

from __future__ import annotations

import os
from types import TracebackType
from typing import Self

from runlore.producer.aside import PutAside
from runlore.producer.lifecycle import before_end, default_producer
from runlore.schemas.errors import OutboxError
from runlore.schemas.events import RunFinished, RunStarted, StepFinished, StepStarted


class Lifespan:
    """What run and step contexts share: usable with `with` and `async with`, once at a time.

    An exception may end `__enter__` or `__exit__` at any instruction (Ctrl-C). Whatever was said to have started is
    said to have failed then; what an interruption of `__exit__`'s first instruction leaves open, at the process's end.
    """

    _started: PutAside | None = None
    """The event that says so; None when that is for another process to say."""
    _ended: PutAside | None = None

    async def __aenter__(self) -> Self:
        return self.__enter__()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.__exit__(kind, error, trace)

    def __enter__(self) -> Self:
        self._check_closed()
        try:
            self._enter()
            return self
        except BaseException as error:
            self.give_up(error)
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._leave(error)
        except BaseException as failure:
            self.give_up(failure)
            raise

    def _check_closed(self) -> None:
        raise AssertionError("run_context and step_context define it")

    def _enter(self) -> None:
        raise AssertionError("run_context and step_context define it")

    def _leave(self, error: BaseException | None) -> None:
        raise AssertionError("run_context and step_context define it")

    def give_up(self, error: BaseException) -> None:
        """Close it as failed, unless it has not started or has ended."""
        raise AssertionError("run_context and step_context define it")

    def _say_start(self, fact: RunStarted | StepStarted, run: str, step: str | None) -> None:
        producer = default_producer()
        self._ended, self._started = None, producer.prepared(fact, run, step)
        _UNFINISHED[self] = None
        producer.emit_prepared(self._started)

    def _say_end(
        self, fact: RunFinished | StepFinished, run: str, step: str | None, error: BaseException | None
    ) -> None:
        producer = default_producer()
        self._ended = producer.prepared(fact, run, step)
        try:
            producer.emit_prepared(self._ended)
        except OutboxError as failure:
            if error is None:
                raise
            error.add_note(f"runlore could not store that the step or run failed: {failure}")
        self._forget()

    def _forget(self) -> None:
        _UNFINISHED.pop(self, None)

    def _is_unfinished(self) -> bool:
        """Whether the log says, or will say, that it has started, and not that it has ended."""
        has = default_producer().has_emitted
        return self._started is not None and has(self._started) and (self._ended is None or not has(self._ended))


_UNFINISHED: dict[Lifespan, None] = {}
"""What this process has started and not ended."""


class ProcessEndedError(Exception):
    """Why a run or step is failed that was open when its process ended."""


@before_end
def fail_unfinished() -> None:
    """At the process's end: steps first, then their runs."""
    for context in reversed(list(_UNFINISHED)):
        context.give_up(ProcessEndedError("the process ended before this was closed"))


os.register_at_fork(after_in_child=_UNFINISHED.clear)  # the parent's
