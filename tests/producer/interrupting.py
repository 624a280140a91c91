"""Raise inside the library at any line, instruction or function call, as Ctrl-C and alarm handlers do."""

from __future__ import annotations

import dis
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Literal

import runlore.producer
from runlore.producer.outboxes.look import rows_of
from runlore.producer.outboxes.outbox import outbox_paths
from runlore.schemas import Event, Settings
from runlore.schemas.codec import decode_event

Kind = Literal["line", "opcode"]
_LIBRARY = (str(Path(runlore.producer.__path__[0]).parent), "runlore/schemas")


class Interrupt(BaseException):
    """Stands for KeyboardInterrupt."""


class Interrupts:
    """A tracer that does `act` at event number `at` of the library, counted from 1.

    The interpreter drops a tracer that raises. So `again` interrupts a second time with a profiler: at that number of
    calls and returns, C functions included, after the first interruption.
    """

    def __init__(self, kind: Kind, at: int, again: int | None = None, act: Callable[[], None] | None = None) -> None:
        self._kind, self._at, self._again, self._act = kind, at, again, act
        self._count = self._after = 0
        self.hit = False

    def __enter__(self) -> Interrupts:
        sys.settrace(self._trace)
        return self

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)
        sys.setprofile(None)

    def _trace(self, frame: FrameType, event: str, _: Any) -> Any:
        if not _is_ours(frame):
            return None
        frame.f_trace_lines, frame.f_trace_opcodes = self._kind == "line", self._kind == "opcode"
        if event == self._kind and not self.hit and not _returns_from_enter(frame, event):
            self._count += 1
            if self._count == self._at:
                self.hit = True
                self._strike()
        return self._trace

    def _strike(self) -> None:
        if self._act is not None:
            sys.settrace(None)
            self._act()
            return
        if self._again is not None:
            sys.setprofile(self._profile)
        raise Interrupt

    def _profile(self, frame: FrameType, event: str, _: Any) -> None:
        if not _is_ours(frame):
            return
        self._after += 1
        if self._after == self._again:
            raise Interrupt


def _is_ours(frame: FrameType) -> bool:
    return any(part in frame.f_code.co_filename for part in _LIBRARY)


def _returns_from_enter(frame: FrameType, event: str) -> bool:
    """The one instruction at which no program is interrupted: CPython looks for signals at calls, jumps and starts."""
    return (
        event == "opcode"
        and frame.f_code.co_name == "__enter__"
        and frame.f_code.co_code[frame.f_lasti] == dis.opmap["RETURN_VALUE"]
    )


def every_moment(kind: Kind, step: int = 1) -> Iterator[int]:
    """1, 1 + step, … for ever; the caller ends when nothing was hit."""
    at = 1
    while True:
        yield at
        at += step


def stored(settings: Settings) -> list[Event]:
    """Every event in the folder's outboxes, each outbox in the order of its numbers."""
    found: list[Event] = []
    for path in outbox_paths(settings.data_dir / "outbox"):
        rows = rows_of(path)
        events = [decode_event(row.payload) for row in rows]
        assert [row.seq for row in rows] == [event.producer_seq for event in events]
        found += events
    return found
