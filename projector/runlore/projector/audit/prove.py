"""Proofs that events are in the log that a checkpoint was signed for."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import NamedTuple

import msgspec

from runlore.projector.audit.checkpoint import Checkpoint, signed_by
from runlore.projector.audit.keys import Verifier
from runlore.projector.audit.leaf import LeafCoder
from runlore.projector.audit.leaves import leaf_index
from runlore.projector.audit.merkle import check_consistency, check_inclusion, consistency_proof, inclusion_proof
from runlore.projector.audit.tree import StoredNodes
from runlore.projector.database import Connection
from runlore.schemas.errors import CorruptLogError, NotFoundError

_ROW = "SELECT event_id, recorded_ns, subject, headers, payload FROM log WHERE position = ?"
_TAMPERED = "the log does not give the root that was signed: `runlore audit verify` says what is wrong"


class ProvenEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One archived message, raw, and its inclusion proof (RFC 6962, 2.1.1). In JSON, bytes are base64."""

    position: int
    index: int
    """Of its leaf: leaves before it."""
    event_id: str | None
    recorded_ns: int
    subject: str
    headers: bytes
    payload: bytes
    proof: list[bytes]

    def leaf(self, coder: LeafCoder) -> bytes:
        """Its leaf hash."""
        event_id = None if self.event_id is None else self.event_id.encode()
        return coder.event(self.position, event_id, self.recorded_ns, self.subject.encode(), self.headers, self.payload)

    def holds(self, coder: LeafCoder, checkpoint: Checkpoint) -> bool:
        """Whether the proof shows it to be in the log of the checkpoint."""
        try:
            leaf = self.leaf(coder)
        except (ValueError, struct.error):  # out of range, or no text: nothing that was ever archived
            return False
        return check_inclusion(leaf, self.index, checkpoint.size, self.proof, checkpoint.root)


class Signed(NamedTuple):
    """A checkpoint, the note it was read from, and the key that signed it."""

    note: str
    checkpoint: Checkpoint
    verifier: Verifier


class Prover:
    """Makes proofs from one log.db, each verified before it is given out. Raises CorruptLogError when one fails.

    `connection`: a raw reader, as `tree.open_audited` gives.
    """

    def __init__(self, connection: Connection, trusted: Sequence[Verifier]) -> None:
        self._connection = connection
        epoch = connection.execute("SELECT epoch FROM log_state").fetchone()[0].decode()
        self.epoch: str = epoch
        self._coder = LeafCoder(epoch)
        self.newest = newest_checkpoint(connection, trusted)
        self._nodes = StoredNodes(connection)  # after the checkpoint: a live log's tree covers at least that
        if self.newest.checkpoint.origin != self._coder.origin:
            raise CorruptLogError(_TAMPERED)

    def covers(self, position: int) -> bool:
        """Whether the newest checkpoint speaks for a position."""
        return leaf_index(self._connection, position) < self.newest.checkpoint.size

    def event(self, position: int) -> ProvenEvent:
        """The event at a position with its proof. Raises NotFoundError when it is not there or not signed yet."""
        row = self._connection.execute(_ROW, (position,)).fetchone()
        if row is None:
            raise NotFoundError(f"the log has no event at position {position}")
        if not self.covers(position):
            raise NotFoundError(
                f"position {position} is not under a signed checkpoint yet: the projector signs one within a "
                "minute, and when it stops"
            )
        index = leaf_index(self._connection, position)
        event_id, recorded_ns, subject, headers, payload = row
        event = ProvenEvent(
            position=position,
            index=index,
            event_id=None if event_id is None else event_id.decode(),
            recorded_ns=recorded_ns,
            subject=subject.decode(),
            headers=headers,
            payload=payload,
            proof=inclusion_proof(index, self.newest.checkpoint.size, self._nodes),
        )
        if not event.holds(self._coder, self.newest.checkpoint):
            raise CorruptLogError(f"position {position}: {_TAMPERED}")
        return event

    def consistency(self, old: Checkpoint) -> list[bytes]:
        """The proof that the newest checkpoint's log begins with the older one's (RFC 6962, 2.1.2)."""
        new = self.newest.checkpoint
        if old.origin != new.origin:
            raise CorruptLogError(f"the older checkpoint is of another log: {old.origin}, not {new.origin}")
        if old.size > new.size:
            raise CorruptLogError(f"the older checkpoint has {old.size} leaves, the newest one here only {new.size}")
        proof = consistency_proof(old.size, new.size, self._nodes) if old.size else []
        if not check_consistency(old.size, new.size, old.root, new.root, proof):
            raise CorruptLogError(f"the log does not begin with that of the older checkpoint: {_TAMPERED}")
        return proof


def newest_checkpoint(connection: Connection, trusted: Sequence[Verifier]) -> Signed:
    """The stored checkpoint of the largest size. Raises NotFoundError, CorruptLogError when its signature is wrong."""
    row = connection.execute("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1").fetchone()
    if row is None:
        raise NotFoundError("the log has no signed checkpoint yet: the projector signs one with the first event")
    note = row[0].decode()
    return Signed(note, *signed_by(note, trusted))
