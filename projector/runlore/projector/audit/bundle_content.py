"""The content of a bundle's bundle.json."""

from __future__ import annotations

import msgspec

from runlore.store.audit.proof import ProvenEvent

FORMAT = "runlore bundle 1"


class Bundle(msgspec.Struct, frozen=True, kw_only=True):
    """The content of bundle.json, bytes as base64."""

    format: str
    epoch: str
    project: str
    about: list[str]
    """References of the entities that the events are about. Not proved."""
    events: list[ProvenEvent]
    consistency: list[bytes] | None = None
    """From since-checkpoint.txt to checkpoint.txt (RFC 6962, 2.1.2)."""
