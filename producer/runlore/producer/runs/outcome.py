"""The outcome of a run or step: its status, and the type and message of its error, without secrets."""

from __future__ import annotations

import traceback
from typing import Any, cast

from runlore.producer.runs.secrets import redact_text
from runlore.schemas.events import RunStatus

MAX_MESSAGE = 10_000
"""Characters."""
_MAX_SEARCHED = 40_000
MAX_PARTS = 5
"""Errors of a group that are named."""

Outcome = tuple[RunStatus, str | None, str | None]
"""Status, error type, error message: the fields of RunFinished and StepFinished."""


def is_failure(error: BaseException | None) -> bool:
    """Return whether an exception that leaves a run or step fails it; SystemExit with code 0 does not."""
    return error is not None and not (isinstance(error, SystemExit) and error.code in (None, 0))


def outcome(error: BaseException | None, *, redacted: bool) -> Outcome:
    """Return the outcome of a run or step that `error` left; never raises for an error that cannot be printed."""
    if error is None or not is_failure(error):
        return "completed", None, None
    text = _message(error).encode("utf-8", "replace").decode()[:_MAX_SEARCHED]
    # Cut after the search: half a secret is not found.
    return "failed", type(error).__qualname__, (redact_text(text) if redacted else text)[:MAX_MESSAGE]


def _message(error: BaseException) -> str:
    """The error's text and notes, as a traceback would print them; for a group also its first errors."""
    # The traceback module's text is safe where str(error) itself would raise.
    told = traceback.TracebackException(type(error), error, None, compact=True)
    parts = _parts(cast("BaseExceptionGroup[BaseException]", error)) if isinstance(error, BaseExceptionGroup) else []
    return "\n".join([str(told), *_notes(told), *parts])


def _parts(group: BaseExceptionGroup[BaseException]) -> list[str]:
    return [f"{type(part).__qualname__}: {_message(part)}" for part in group.exceptions[:MAX_PARTS]]


def _notes(told: traceback.TracebackException) -> list[str]:
    notes: Any = told.__notes__
    return [str.__str__(note) for note in notes if isinstance(note, str)] if isinstance(notes, (list, tuple)) else []  # pyright: ignore[reportUnknownVariableType] -- anyone may set it to anything
