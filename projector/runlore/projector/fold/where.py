"""Where an event stands in the log, as the fold's functions need it."""

from __future__ import annotations

import msgspec


class Where(msgspec.Struct, frozen=True):
    """Where an event stands: its project, position, and the run and step that emitted it."""

    project: str
    position: int
    run: int | None
    step: int | None
    step_since: int
    """Position of the step's last start: what it made before that was another attempt."""
