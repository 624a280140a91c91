"""Key rotations in a bundle: who trusts the log's first key can check what a later one has signed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

from runlore.projector.audit.bundle_content import Bundle, CheckedBundle
from runlore.projector.audit.key_history import KeyChange, TrustedRange, checked_statement, spread
from runlore.projector.audit.keys import Verifier
from runlore.schemas.errors import CorruptLogError
from runlore.schemas.shards import is_signing_subject
from runlore.store.audit.checkpoint import Checkpoint, signed_by
from runlore.store.audit.proof import ProvenEvent


def key_changes(bundle: Bundle) -> list[KeyChange]:
    """The bundle's statements about signing keys, with their signatures checked. Raises CorruptLogError.

    That they are in the log is to be checked with the checkpoint, which one of their keys may have signed.
    """
    for before, event in pairwise(bundle.keys):
        if event.position <= before.position:
            raise CorruptLogError(f"statement {event.position} comes after {before.position}: repeated, or moved")
    return [_change(event) for event in bundle.keys]


def _change(event: ProvenEvent) -> KeyChange:
    change = checked_statement(event.payload.decode(errors="replace"), event.position, event.index)
    if not is_signing_subject(event.subject) or event.logged_hash is not None or not change.holds:
        raise CorruptLogError(f"event {event.position} is no valid statement about the keys that sign the log")
    return change


def read_signed(
    note: str, trusted: Sequence[Verifier], changes: Sequence[KeyChange]
) -> tuple[Checkpoint, Verifier, list[TrustedRange]]:
    """The checkpoint of a note, the key that signed it, and all keys that are trusted after these changes.

    Raises CorruptLogError, also when the key had been replaced before the tree was as large.
    """
    ranges = spread(trusted, changes)
    checkpoint, verifier = signed_by(note, [one.key for one in ranges])
    if not any(one.key == verifier and one.covers(checkpoint.size) for one in ranges):
        raise CorruptLogError(
            f"the checkpoint of {checkpoint.size:,} leaves is signed with {verifier.vkey}, which did not sign this log "
            "then: its statements say that another key did"
        )
    return checkpoint, verifier, ranges


def require_one_lineage(one: CheckedBundle, other: CheckedBundle) -> None:
    """Raise CorruptLogError where one bundle says that a key was replaced, and the other is signed with it later."""
    for change, bundle in (*_pairs(one, other), *_pairs(other, one)):
        if change.old == bundle.verifier and bundle.checkpoint.size > change.last_of_old:
            raise CorruptLogError(
                f"the bundles are of two histories: event {change.position:,} replaced {change.old.vkey}, and one of "
                f"them has a checkpoint of {bundle.checkpoint.size:,} leaves that is signed with it"
            )


def _pairs(one: CheckedBundle, other: CheckedBundle) -> Iterator[tuple[KeyChange, CheckedBundle]]:
    return ((change, other) for change in one.changes if change.statement.reason != "lost")
