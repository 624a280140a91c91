"""OpenTelemetry, where the program has loaded it: the current span of each event, and runs and steps as spans.

Nothing here imports it. The trace module is looked up in `sys.modules` on each call, which takes less than 0.1 µs where
it is not there. What goes wrong in a tracer is no concern of the step: it is one warning.
"""

from __future__ import annotations

import datetime as dt
import sys
from collections.abc import Mapping
from typing import Any, NamedTuple

from runlore.producer.warn import warn_no_trace

_TRACE, _CONTEXT = "opentelemetry.trace", "opentelemetry.context"
_modules = sys.modules
"""The dict itself: one look-up less a call."""
_last: list[tuple[Any, str]] = [(None, "")]
"""The span context that was written last, and its text: one tuple, so that no thread sees half of it."""


def current_trace(outside: str | None) -> str | None:
    """Return the W3C trace context of the current span; of none that is valid, the one that the process came with."""
    trace: Any = _modules.get(_TRACE)
    if trace is None:
        return outside
    try:
        context = trace.get_current_span().get_span_context()
        if not context.is_valid:
            return outside
        known, text = _last[0]
        if context is not known:  # many events have one span: to write its numbers takes longer than all the rest
            text = f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}"
            _last[0] = context, text
        return text
    except Exception as error:  # noqa: BLE001 -- half imported, or another's code: the event matters more
        warn_no_trace(f"{type(error).__name__}: {error}")
        return outside


class RunSpan(NamedTuple):
    """A span that is open, and what was current before it."""

    span: Any
    before: Any


def begin_span(name: str, attributes: Mapping[str, str], started_at: dt.datetime | None) -> RunSpan | None:
    """Start a span and make it current; None where OpenTelemetry is not loaded."""
    trace, context = _modules.get(_TRACE), _modules.get(_CONTEXT)
    if trace is None or context is None:
        return None
    try:
        before = context.get_current()
        span = trace.get_tracer("runlore").start_span(name, attributes=dict(attributes), start_time=_nanos(started_at))
        context.attach(trace.set_span_in_context(span, before))
        return RunSpan(span, before)
    except Exception as error:  # noqa: BLE001 -- as above
        warn_no_trace(f"{type(error).__name__}: {error}")
        return None


def end_span(opened: RunSpan, status: str, message: str | None, ended_at: dt.datetime | None) -> None:
    """End a span with the status of its run or step, and make current again what was before."""
    trace: Any = _modules.get(_TRACE)
    context: Any = _modules.get(_CONTEXT)
    try:
        opened.span.set_attribute("runlore.status", status)
        if status == "failed":
            opened.span.set_status(trace.Status(trace.StatusCode.ERROR, message))
        opened.span.end(_nanos(ended_at))
        # Attached again, not detached by token: it may end in another context than it began in.
        if trace.get_current_span() is opened.span:
            context.attach(opened.before)
    except Exception as error:  # noqa: BLE001 -- as above
        warn_no_trace(f"{type(error).__name__}: {error}")


def _nanos(when: dt.datetime | None) -> int | None:
    return None if when is None else int(when.timestamp() * 1e9)
