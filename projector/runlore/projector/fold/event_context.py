"""The context in which the fold resolves an event's references."""

from __future__ import annotations

import msgspec


class EventContext(msgspec.Struct, frozen=True):
    """An event's project and position, and the run and step that emitted it."""

    project: str
    position: int
    run: int | None
    step: int | None
    step_since: int
    """Position of the step's last start: earlier outputs belong to another attempt."""
