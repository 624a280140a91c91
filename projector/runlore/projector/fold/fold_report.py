"""Reports of the fold process to the service, one line of JSON each."""

from __future__ import annotations

import msgspec


class FoldReport(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Work of the fold since its last report, a sign of life, or the reason it ended."""

    folded: int = 0
    """The view's position."""
    quarantined: int = 0
    """Events in quarantine in all."""
    running: bool = False
    events: int = 0
    seconds: float = 0.0
    error: str | None = None
    """Name of the error's class."""
    message: str = ""
    beat: bool = False
    """Whether this says only that the process lives."""
    busy: float = 0.0
    """With a beat: seconds since the fold began what it is at."""
