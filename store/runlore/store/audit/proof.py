"""Proofs that events are in the log of a checkpoint. Signatures are checked elsewhere."""

from __future__ import annotations

import struct

import msgspec

from runlore.schemas.errors import CorruptLogError, NotFoundError
from runlore.store.audit.checkpoint import Checkpoint
from runlore.store.audit.erasure import redaction_of
from runlore.store.audit.leaf import LeafCoder
from runlore.store.audit.merkle import check_inclusion, inclusion_proof
from runlore.store.audit.tree import StoredNodes, leaf_index
from runlore.store.sqlite import sqlite

TAMPERED = "the log does not give the root that was signed: `runlore audit verify` says what is wrong"
_ROW = "SELECT event_id, recorded_ns, subject, headers, payload FROM log WHERE position = ?"


class ProvenEvent(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
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
    logged_hash: bytes | None = None
    """SHA-256 of the payload as it was logged, where values were erased from it. Trust it only with the erasure."""
    erasure: int | None = None
    """The position of the erasure that says so."""

    def leaf(self, coder: LeafCoder) -> bytes:
        """Its leaf hash."""
        event_id = None if self.event_id is None else self.event_id.encode()
        subject = self.subject.encode()
        return coder.event(
            self.position, event_id, self.recorded_ns, subject, self.headers, self.payload, self.logged_hash
        )

    def holds(self, coder: LeafCoder, checkpoint: Checkpoint) -> bool:
        """Return whether the proof shows it to be in the log of the checkpoint."""
        try:
            leaf = self.leaf(coder)
        except (ValueError, struct.error):  # out of range, or no text: nothing that was ever archived
            return False
        return check_inclusion(leaf, self.index, checkpoint.size, self.proof, checkpoint.root)


def prove_event(
    connection: sqlite.Connection, coder: LeafCoder, nodes: StoredNodes, checkpoint: Checkpoint, position: int
) -> ProvenEvent:
    """The event at a position with its proof, which holds. `connection`: a reader of log.db that hands out bytes.

    Raises NotFoundError when it is not there or the checkpoint does not cover it yet, CorruptLogError when the log
    does not give the checkpoint's root.
    """
    row = connection.execute(_ROW, (position,)).fetchone()
    if row is None:
        raise NotFoundError(f"the log has no event {position}")
    index = leaf_index(connection, position)
    if index >= checkpoint.size:
        raise NotFoundError(
            f"event {position} is not under a signed checkpoint yet: the projector signs one within a "
            "minute, and when it stops"
        )
    event_id, recorded_ns, subject, headers, payload = row
    redaction = redaction_of(connection, position)
    if redaction is not None and not redaction.fits(payload):
        raise CorruptLogError(f"event {position} was erased, and is not what its erasure left: {TAMPERED}")
    event = ProvenEvent(
        position=position,
        index=index,
        event_id=None if event_id is None else event_id.decode(),
        recorded_ns=recorded_ns,
        subject=subject.decode(),
        headers=headers,
        payload=payload,
        proof=inclusion_proof(index, checkpoint.size, nodes),
        logged_hash=redaction.payload_hash if redaction else None,
        erasure=redaction.statement if redaction else None,
    )
    if not event.holds(coder, checkpoint):
        raise CorruptLogError(f"event {position}: {TAMPERED}")
    return event
