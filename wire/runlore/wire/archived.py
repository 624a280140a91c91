"""A relay's question to the archive, and the answer: JSON on the shard's `archive_subject`, or <it>.<epoch>."""

from __future__ import annotations

from typing import Literal

import msgspec

Fate = Literal["archived", "pending", "missing"]
"""Of acknowledged events: in log.db; not reached yet; log.db has passed their positions and does not have them."""


class StoredRange(msgspec.Struct, frozen=True, array_like=True):
    """Events that one producer's relay saw acknowledged at consecutive positions."""

    first: int
    last: int
    """Positions, both included."""
    first_id: str
    last_id: str
    """Event IDs at the two."""


class ArchiveQuestion(msgspec.Struct, frozen=True):
    """Ask which of these ranges are archived. Without ranges: ask only which stream the archive is a copy of."""

    ranges: tuple[StoredRange, ...] = ()


class ArchiveAnswer(msgspec.Struct, frozen=True):
    """One archive's answer."""

    epoch: str
    """Of the stream it is a copy of."""
    position: int
    """Everything up to here is archived."""
    replicas: int
    """Of the stream."""
    domain: str | None = None
    """JetStream domain of the stream."""
    fates: tuple[Fate, ...] = ()
    """One for each range."""
