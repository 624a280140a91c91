"""The older checkpoints of a bundle: the one that it continues, and the one that has a time stamp."""

from __future__ import annotations

from collections.abc import Sequence

from runlore.projector.audit.bundle_content import Bundle, StampedCheckpoint
from runlore.projector.audit.bundle_file import BundleFile
from runlore.projector.audit.key_history import TrustedRange
from runlore.schemas.errors import CorruptLogError
from runlore.store.audit.checkpoint import Checkpoint, note_lines, parse_checkpoint, read_checkpoint
from runlore.store.audit.merkle import check_consistency


def check_since(
    bundle: Bundle, note: str | None, checkpoint: Checkpoint, ranges: Sequence[TrustedRange]
) -> Checkpoint | None:
    """The checkpoint that a bundle continues. Raises CorruptLogError where it does not."""
    if (note is None) != (bundle.consistency is None):
        raise CorruptLogError("the bundle has an older checkpoint or a consistency proof, and not both")
    if note is None or bundle.consistency is None:
        return None
    return _older(note, bundle.consistency, checkpoint, ranges, "the older checkpoint")


def check_stamped(
    bundle: Bundle, file: BundleFile, checkpoint: Checkpoint, ranges: Sequence[TrustedRange]
) -> StampedCheckpoint | None:
    """The checkpoint of a bundle that has a time stamp, which is not checked here. Raises CorruptLogError."""
    parts = file.stamped, file.stamp, bundle.stamped
    if all(part is None for part in parts):
        return None
    if file.stamped is None or file.stamp is None or bundle.stamped is None:
        raise CorruptLogError("the bundle has a part of a time stamp: it needs a checkpoint, a stamp and a proof")
    found = _older(file.stamped, bundle.stamped, checkpoint, ranges, "the stamped checkpoint")
    return StampedCheckpoint(found, file.stamped, file.stamp)


def _older(
    note: str, proof: Sequence[bytes], checkpoint: Checkpoint, ranges: Sequence[TrustedRange], name: str
) -> Checkpoint:
    """A checkpoint that a key of its time has signed, and that the newer one's log begins with."""
    older = parse_checkpoint(note_lines(note)[0])
    read_checkpoint(note, [one.key for one in ranges if one.covers(older.size)])
    roots = older.size, checkpoint.size, older.root, checkpoint.root
    if older.origin != checkpoint.origin or not check_consistency(*roots, proof):
        raise CorruptLogError(f"the log of the checkpoint does not begin with that of {name}")
    return older
