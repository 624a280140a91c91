"""Rows about signatures: whose key signed each signed event, as the log says at that position."""

from __future__ import annotations

from typing import Any

from runlore.projector.fold.pending import Pending, next_id
from runlore.projector.fold.projection import Reads
from runlore.schemas.signatures import Signer
from runlore.store.audit.actor_keys import ActorKey, ActorKeys

_STATED = "SELECT state, actor, public_key, reason FROM actor_keys ORDER BY position"
_KNOWN = "SELECT signer_id FROM signers WHERE public_key = ? AND standing = ? AND actor = ?"


class SignerRows:
    """Keys of actors and signers of events, as one batch sees and changes them."""

    def __init__(self, reads: Reads, pending: Pending) -> None:
        self._reads, self._pending = reads, pending
        self._keys: ActorKeys | None = None
        self._signers: dict[Signer, int] = {}
        self._next = 0

    @property
    def cached(self) -> int:
        """Rows in the cache."""
        return len(self._signers)

    def take(self, position: int, stated: ActorKey) -> None:
        """Go past a statement about an actor's key."""
        self._known_keys().take(stated)
        self._pending.rows["actor_keys"].append((position, stated.state, stated.actor, stated.key, stated.reason))

    def record(self, position: int, key: bytes) -> None:
        """One event that the key has signed."""
        signer = self._known_keys().signer(key)
        found = self._signers.get(signer)
        if found is None:
            found = self._signers[signer] = self._id_of(signer)
        self._pending.rows["signatures"].append((position, found))

    def _known_keys(self) -> ActorKeys:
        if self._keys is None:  # logs without signatures ask for none
            self._keys = ActorKeys(ActorKey(*row) for row in self._reads.execute(_STATED))
            self._next = next_id(self._reads, "signers", "signer_id")
        return self._keys

    def _id_of(self, signer: Signer) -> int:
        row: tuple[Any, ...] = (signer.key, signer.standing, signer.actor or "")
        known = self._reads.execute(_KNOWN, row).fetchone()
        if known is not None:
            return int(known[0])
        self._next += 1
        self._pending.rows["signers"].append((self._next - 1, *row))
        return self._next - 1
