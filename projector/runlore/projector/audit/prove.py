"""Proofs against the newest checkpoint whose signature holds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from runlore.projector.audit.effect import first_copy
from runlore.projector.audit.key_history import read_changes
from runlore.projector.audit.keys import Verifier
from runlore.projector.audit.log_keys import trusted_actor_keys
from runlore.schemas.codec import signing_key
from runlore.schemas.errors import CorruptLogError, NotFoundError
from runlore.store.audit.checkpoint import Checkpoint, signed_by
from runlore.store.audit.leaf import LeafCoder, speaks_for
from runlore.store.audit.merkle import check_consistency, consistency_proof
from runlore.store.audit.proof import TAMPERED, ProvenEvent, prove_event
from runlore.store.audit.stored_notes import newest_note
from runlore.store.audit.stored_stamps import StoredStamp, read_stamps
from runlore.store.audit.tree import StoredNodes, leaf_index
from runlore.store.sqlite import sqlite


class Signed(NamedTuple):
    """A checkpoint, the note it was read from, and the key that signed it."""

    note: str
    checkpoint: Checkpoint
    verifier: Verifier


class Prover:
    """Makes proofs from one log.db, each verified before it is given out. Raises CorruptLogError when one fails.

    `connection`: a raw reader, as `opening.open_audited` gives.
    """

    def __init__(self, connection: sqlite.Connection, trusted: Sequence[Verifier]) -> None:
        self._connection, self.trusted = connection, [*trusted]
        epoch, stream = connection.execute("SELECT epoch, stream FROM log_state").fetchone()
        self.epoch: str = epoch.decode()
        self.coder = LeafCoder(self.epoch, stream.decode())
        self.newest = newest_checkpoint(connection, trusted)
        self._nodes = StoredNodes(connection)  # after the checkpoint: a live log's tree covers at least that
        if not speaks_for(self.newest.checkpoint.origin, self.epoch, stream.decode()):
            raise CorruptLogError(TAMPERED)

    def covers(self, position: int) -> bool:
        """Return whether the newest checkpoint covers a position."""
        return leaf_index(self._connection, position) < self.newest.checkpoint.size

    def event(self, position: int) -> ProvenEvent:
        """The event at a position with its proof. Raises NotFoundError when it is not there or not signed yet."""
        return prove_event(self._connection, self.coder, self._nodes, self.newest.checkpoint, position)

    def with_first_copies(self, positions: Iterable[int]) -> list[ProvenEvent]:
        """The events at these positions and, of each second copy, the first event with its ID; the erasures of those
        from which values were erased, and what the log says about the keys that signed; ascending."""
        events = {position: self.event(position) for position in sorted(set(positions))}
        for event in list(events.values()):
            first = first_copy(self._connection, event)
            if first not in events:
                events[first] = self.event(first)
        for event in list(events.values()):
            if event.erasure is not None and event.erasure not in events:
                events[event.erasure] = self.event(event.erasure)
        for position in self._about_keys(list(events.values())):
            events.setdefault(position, self.event(position))
        return [events[position] for position in sorted(events)]

    def _about_keys(self, events: Sequence[ProvenEvent]) -> list[int]:
        """Positions of the statements about keys that signed some of these events, as far as they matter for them."""
        stated = trusted_actor_keys(self._connection, self.trusted)
        last = {key: event.position for event in events if (key := signing_key(event.payload))} if stated else {}
        return [one.position for one in stated if one.position < last.get(one.stated.key, 0)]

    def key_statements(self) -> list[ProvenEvent]:
        """What the log says about its signing keys, as far as the newest checkpoint covers it."""
        changes = read_changes(self._connection)
        return [self.event(one.position) for one in changes if one.leaf < self.newest.checkpoint.size]

    def stamped(self, events: Sequence[ProvenEvent]) -> StoredStamp | None:
        """The oldest time stamp of this log that covers all these events; else the newest one there is."""
        most, found = max(event.index for event in events) + 1, None
        for stamp in read_stamps(self._connection):
            if stamp.size > self.newest.checkpoint.size:
                break
            if stamp.note.startswith(f"{self.newest.checkpoint.origin}\n"):  # not of the part before a restore
                found = stamp
                if stamp.size >= most:
                    break
        return found

    def consistency(self, old: Checkpoint) -> list[bytes]:
        """The proof that the newest checkpoint's log begins with the older one's (RFC 6962, 2.1.2)."""
        new = self.newest.checkpoint
        if old.origin != new.origin:
            raise CorruptLogError(f"the older checkpoint is of another log: {old.origin}, not {new.origin}")
        if old.size > new.size:
            raise CorruptLogError(f"the older checkpoint has {old.size} leaves, the newest one here only {new.size}")
        proof = consistency_proof(old.size, new.size, self._nodes) if old.size else []
        if not check_consistency(old.size, new.size, old.root, new.root, proof):
            raise CorruptLogError(f"the log does not begin with that of the older checkpoint: {TAMPERED}")
        return proof


def newest_checkpoint(connection: sqlite.Connection, trusted: Sequence[Verifier]) -> Signed:
    """The stored checkpoint of the largest size. Raises NotFoundError, CorruptLogError when its signature is wrong."""
    stored = newest_note(connection)
    if stored is None:
        raise NotFoundError("the log has no signed checkpoint yet: the projector signs one with the first event")
    return Signed(stored.note, *signed_by(stored.note, trusted))
