"""Which nats-server Runlore works with."""

from __future__ import annotations

from runlore.schemas.errors import ServerTooOldError

MIN_VERSION = (2, 14)
"""Atomic batch publishing with the limits we rely on."""


def parse_version(text: str) -> tuple[int, ...]:
    """The numbers of a version, for example ``(2, 15, 1)``; ``(0,)`` where there are none."""
    numbers = text.strip().rpartition("v")[2].partition("-")[0].split(".")
    return tuple(int(number) for number in numbers if number.isdigit()) or (0,)


def shown_version(version: tuple[int, ...]) -> str:
    """A version as people write it."""
    return ".".join(map(str, version))


def require_version(text: str) -> None:
    """Raise ServerTooOldError for what a server says its version is. A server that names none may be any."""
    if text and parse_version(text) < MIN_VERSION:
        raise ServerTooOldError(
            f"the NATS server has version {text}, and Runlore needs {shown_version(MIN_VERSION)} or newer: nothing was "
            "sent. Upgrade it, or set RUNLORE_URL to a newer one"
        )
