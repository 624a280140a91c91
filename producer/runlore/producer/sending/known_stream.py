"""The stream on the other side of a connection, as far as a relay may know it."""

from __future__ import annotations

import msgspec


class KnownStream(msgspec.Struct, frozen=True):
    """A stream of Runlore's, as far as this connection may know it."""

    epoch: str
    domain: str | None
    replicas: int
    last_seq: int | None
    """Its last position when it was asked; None where only the archive answered."""
    former_epochs: frozenset[str] = frozenset()
    """Epochs of the streams that it was restored from."""

    def continues(self, epoch: str) -> bool:
        """Whether events for the stream of this epoch belong on this one."""
        return epoch == self.epoch or epoch in self.former_epochs
