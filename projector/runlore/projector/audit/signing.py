"""Signing checkpoints in the projector."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

from runlore.projector.audit.keys import Signer, load_or_make_signer, load_signer
from runlore.schemas.errors import CorruptLogError
from runlore.store.audit.checkpoint import Checkpoint
from runlore.store.audit.leaf import LeafCoder
from runlore.store.audit.tree import Tree
from runlore.store.records import RestoredLog

CHECKPOINT_LEAVES = 1_000
"""New leaves that make a new checkpoint due, at most one a second: each waits for the disk."""

LEAST_SECONDS = 1.0

CHECKPOINT_SECONDS = 60.0
"""After this long one new leaf is enough."""


class SignedLog(Protocol):
    """The archive, as far as signing needs it."""

    tree: Tree
    coder: LeafCoder

    def checkpoint_size(self) -> int: ...

    def add_checkpoint(self, size: int, note: str) -> bool: ...


class CheckpointWriter:
    """Signs the log's tree from time to time, in the thread of the log's one writer.

    The tree is committed before it is signed, and the size is the key of the checkpoint: a kill in between leaves
    a size without one, never a size with two roots.
    """

    def __init__(self, log: SignedLog, key: Path, restored: RestoredLog | None = None) -> None:
        """`restored`: the log is a backup, whose key may have signed more than it holds.

        Raises SettingsError where the key's file holds none, CorruptLogError where the key that signed is gone."""
        self._log, self._key = log, key
        # A key that cannot sign is reported at the start, not with the first event.
        self._signer: Signer | None = load_signer(key, log.coder.origin) if key.exists() else None
        self._size = log.checkpoint_size()
        if self._size > 0 and not key.exists():
            raise CorruptLogError(
                f"{key} is missing, and log.db has checkpoints that were signed with it: put it back from a backup. If "
                "it is lost for good, `runlore audit key --new` makes another one: distribute its public key; auditors "
                "also need the old one, for earlier checkpoints"
            )
        self.held = self._held(restored)
        """Why nothing is signed, if so."""
        self._signed = float("-inf")  # the first new leaf is signed at once

    def _held(self, restored: RestoredLog | None) -> str | None:
        if restored is None or self._signer is None or self._signer.verifier.public.hex() != restored.public_key:
            return None
        return (
            f"nothing is signed: log.db was restored from a backup that ends at event {restored.position:,}, and its key "
            "may have signed later events, which are lost. With this key there could be two signed trees of one size; "
            f"move {self._key} away, keeping it for auditors, run `runlore audit key --new`, and hand out the new key"
        )

    def sign_if_due(self) -> bool:
        """Sign when there is enough new, or something new for long enough; whether it did."""
        new = self._log.tree.size - self._size
        wait = LEAST_SECONDS if new >= CHECKPOINT_LEAVES else CHECKPOINT_SECONDS
        return new > 0 and time.monotonic() - self._signed >= wait and self.sign()

    def sign(self) -> bool:
        """Sign the tree as it stands, unless its size is signed already; whether it did."""
        tree = self._log.tree
        if tree.size <= self._size or self.held is not None:
            return False
        origin = self._log.coder.origin
        if self._signer is None:
            self._signer = load_or_make_signer(self._key, origin)
        added = self._log.add_checkpoint(tree.size, Checkpoint(origin, tree.size, tree.root()).signed(self._signer))
        self._size, self._signed = tree.size, time.monotonic()
        return added
