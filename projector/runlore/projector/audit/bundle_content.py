"""The content of a bundle: what its bundle.json holds, and what a check of it gives."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from runlore.projector.audit.effect import Verdict
from runlore.projector.audit.key_history import KeyChange
from runlore.projector.audit.keys import Verifier
from runlore.schemas.acceptance import Stage
from runlore.store.audit.checkpoint import Checkpoint
from runlore.store.audit.proof import ProvenEvent

FORMAT = "runlore bundle 2"
FORMER_FORMAT = "runlore bundle 1"
"""Without `rejected`, `related` and `left_out`: it presents all its events as in effect."""


class Rejected(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An event of the bundle that is declared as rejected."""

    position: int
    stage: Stage
    why: str


class Bundle(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """The content of bundle.json, bytes as base64. Only `events` and `consistency` are proved."""

    format: str
    epoch: str
    project: str
    about: list[str]
    """References of the entities that the events are about. Not proved."""
    events: list[ProvenEvent]
    """Ascending by position, each once."""
    consistency: list[bytes] | None
    """From since-checkpoint.txt to checkpoint.txt (RFC 6962, 2.1.2)."""
    rejected: list[Rejected] = []
    """The events without effect. What the rules for one event and its first copy do not show is not proved."""
    related: list[str] = []
    """How the other entities belong to those in `about`: what made them, and what replaced them. Not proved."""
    left_out: list[str] = []
    """What the bundle does not hold, says its maker. Not proved."""
    keys: list[ProvenEvent] = []
    """What the log says about its signing keys, up to the checkpoint; proved as the events are."""
    stamped: list[bytes] | None = None
    """From stamped-checkpoint.txt to checkpoint.txt."""


class StampedCheckpoint(NamedTuple):
    """A checkpoint that a time-stamping authority has seen."""

    checkpoint: Checkpoint
    note: str
    response: bytes
    """What the authority answered. Not checked: that takes its certificate."""


class CheckedBundle(NamedTuple):
    """A bundle whose every proof holds."""

    bundle: Bundle
    checkpoint: Checkpoint
    since: Checkpoint | None
    verifier: Verifier
    """The key that signed the checkpoint."""
    verdicts: list[Verdict]
    """On each event."""
    notes: list[str]
    """Unproved parts that do not fit the proved ones."""
    changes: Sequence[KeyChange] = ()
    """What the log says about its signing keys."""
    signed: str = ""
    """The note of the checkpoint, with its cosignatures."""
    stamped: StampedCheckpoint | None = None
    """The checkpoint with a time stamp, which the newest one continues."""

    @property
    def checkpoints(self) -> list[Checkpoint]:
        """The newest, and the older one that it continues."""
        return [self.checkpoint] if self.since is None else [self.checkpoint, self.since]

    @property
    def undeclared(self) -> list[int]:
        """Positions of rejected events that the bundle presents as in effect."""
        declared = {one.position for one in self.bundle.rejected}
        pairs = zip(self.bundle.events, self.verdicts, strict=True)
        return [event.position for event, verdict in pairs if verdict.rejection and event.position not in declared]
