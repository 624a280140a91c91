"""What tests of runs, steps and their contexts read from their events."""

from __future__ import annotations

from typing import Any

from runlore.producer import log_metadata
from runlore.schemas import ArtifactVersionProduced, Event, MetadataLogged


def outputs(events: list[Event]) -> dict[str | None, list[str]]:
    """The names of each step's outputs."""
    found: dict[str | None, list[str]] = {}
    for event in events:
        if isinstance(event.fact, ArtifactVersionProduced):
            found.setdefault(event.step, []).append(event.fact.artifact.name)
    return found


def targets(events: list[Event]) -> dict[int, tuple[str, ...]]:
    """The references that each number was logged on."""
    return {
        event.fact.metadata["n"]: tuple(map(str, event.fact.targets))
        for event in events
        if isinstance(event.fact, MetadataLogged)
    }


def logged_in_steps(events: list[Event]) -> list[tuple[str | None, Any]]:
    """Each number with the step it was logged in, in order."""
    return [(e.step, e.fact.metadata["n"]) for e in events if isinstance(e.fact, MetadataLogged)]


def log_number(number: int) -> None:
    """Log a number on whatever is in context."""
    log_metadata({"n": number})
