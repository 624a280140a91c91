"""Signing checkpoints in the projector."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Protocol

from runlore.projector.audit.key_history import KeyChange, current_key, lineage, read_changes
from runlore.projector.audit.keys import SigningError, Verifier
from runlore.projector.audit.signers import KeyFile, KeySource, Signing
from runlore.schemas.errors import CorruptLogError, SettingsError
from runlore.store.audit.checkpoint import Checkpoint, read_checkpoint
from runlore.store.audit.leaf import LeafCoder
from runlore.store.audit.merkle import subtree_root
from runlore.store.audit.tree import StoredNodes, Tree
from runlore.store.sqlite import sqlite

CHECKPOINT_LEAVES = 1_000
"""New leaves that make a new checkpoint due, at most one a second: each waits for the disk."""

LEAST_SECONDS = 1.0

CHECKPOINT_SECONDS = 60.0
"""After this long one new leaf is enough."""

_BEHIND = (
    "nothing is signed: {source} has a checkpoint of {size:,} leaves, this log has {leaves:,}. An older copy of log.db "
    "was put in its place; signing goes on when it has caught up with the same events"
)
TWO_HISTORIES = (
    "nothing is signed: {source} has a checkpoint of {size:,} leaves with another root than this log's tree of that "
    "size. This log is not the one that was signed: put back the log.db that was, or a backup of it with `runlore "
    "operator restore`, which begins a new part of the signatures"
)


class SignedLog(Protocol):
    """The archive, as far as signing needs it."""

    tree: Tree
    coder: LeafCoder
    position: int

    @property
    def connection(self) -> sqlite.Connection: ...

    def checkpoint_size(self) -> int: ...

    def newest_note(self) -> str | None: ...

    def add_checkpoint(self, size: int, note: str) -> bool: ...


class CheckpointWriter:
    """Signs the log's tree from time to time, in the thread of the log's one writer.

    The tree is committed before it is signed, and the size is the key of the checkpoint: a kill in between leaves
    a size without one, never a size with two roots. It signs only as the key that the log itself says is the current
    one, and only if no checkpoint that it published before says otherwise.
    """

    def __init__(self, log: SignedLog, key: Path | KeySource, restored: bool = False) -> None:
        """`restored`: events were lost that the key may have signed, and the log does not say so yet.

        Raises SettingsError where the key's file holds none, CorruptLogError where the key that signed is gone."""
        self._log, self._source = log, KeyFile(key) if isinstance(key, Path) else key
        # A key that cannot sign is reported at the start, not with the first event.
        self._own: Signing | None = self._source.load(log.coder.origin) if self._source.exists() else None
        self._size = log.checkpoint_size()
        if self._size > 0 and not self._source.exists():
            raise CorruptLogError(
                f"{self._source} is missing, and log.db has checkpoints that were signed with it: put it back from a "
                "backup. If it is lost for good, `runlore audit key --new` makes another one, and says so in the log: "
                "distribute its public key; auditors also need the old one, for earlier checkpoints"
            )
        self.restored = restored
        self._published: tuple[Checkpoint, str] | None = None
        self._refused: tuple[Checkpoint, str] | None = None
        self._ahead: tuple[Checkpoint, str] | None = None
        self._catch_up = 0
        self._signed = float("-inf")  # the first new leaf is signed at once
        self.held: str | None = None
        """Why nothing is signed, if so."""
        self.look()

    def look(self) -> None:
        """Find out again whether this key may sign: the log may say something new about it."""
        self.held = self._reason() if self._own is not None else None

    def changed(self, restored: bool) -> None:
        """Load the key again: another one was put in its place, or the log now says that it was restored."""
        self._own, self.restored = self._source.load(self._log.coder.origin), restored
        self.look()

    def catch_up(self, position: int) -> None:
        """Sign nothing before the log has what the stream had: an older copy of it may have been put in its place."""
        self._catch_up = position if self._size > 0 else 0

    def published(self, checkpoint: Checkpoint, source: str) -> None:
        """Hear of a checkpoint that this log's key has signed, and where it is: this log must agree with it."""
        if self._published is None or checkpoint.size > self._published[0].size:
            self._published = checkpoint, source
            self.look()

    def ahead(self, checkpoint: Checkpoint, source: str) -> None:
        """Hear that somebody knows a larger tree, of whatever root: sign nothing before this log is as large."""
        self._ahead = checkpoint, source
        self.look()

    def refused(self, checkpoint: Checkpoint, source: str) -> None:
        """Sign nothing more under this name: somebody who remembers says that this is another history."""
        self._refused = checkpoint, source
        self.look()

    def sign_if_due(self) -> bool:
        """Sign when there is enough new, or something new for long enough; whether it did."""
        new = self._log.tree.size - self._size
        wait = LEAST_SECONDS if new >= CHECKPOINT_LEAVES else CHECKPOINT_SECONDS
        return new > 0 and time.monotonic() - self._signed >= wait and self.sign()

    def sign(self) -> bool:
        """Sign the tree as it stands, unless its size is signed already; whether it did."""
        tree = self._log.tree
        if tree.size <= self._size or self._log.position < self._catch_up:
            return False
        try:
            self._own = self._own or self._source.load_or_make(self._log.coder.origin)
            self.look()
            if self.held is not None:
                return False
            signer = self._signer(self._own, read_changes(self._log.connection))
            note = Checkpoint(signer.verifier.name, tree.size, tree.root()).signed(signer)
        except (SigningError, SettingsError) as error:
            self.held = f"nothing is signed: {error}"
            return False
        added = self._log.add_checkpoint(tree.size, note)
        self._size, self._signed = tree.size, time.monotonic()
        return added

    def public_key(self) -> Verifier | None:
        """The public key that signs now; None before the first signature."""
        if self._own is None:
            return None
        return current_key(self._own.verifier, read_changes(self._log.connection))

    def hear(self, note: str, source: str) -> bool:
        """Take a checkpoint that was published into account; False when no key of this log has signed it."""
        if self._own is None:
            return False
        key = current_key(self._own.verifier, changes := read_changes(self._log.connection))
        try:
            found = read_checkpoint(note, lineage(key, changes))
        except CorruptLogError:
            return False
        if found.origin == key.name:  # else it is of the part before a restore
            self.published(found, source)
        return True

    def _signer(self, own: Signing, changes: list[KeyChange]) -> Signing:
        name = current_key(own.verifier, changes).name
        return own if name == own.verifier.name else self._source.load(name)

    def _reason(self) -> str | None:
        assert self._own is not None
        changes = read_changes(self._log.connection)
        current = current_key(self._own.verifier, changes)
        if current.public != self._own.verifier.public:
            return (
                f"nothing is signed: the log says that {current.vkey} signs now, and {self._source} holds the key "
                "before it. Give the projector the new key"
            )
        if self.restored:
            return "nothing is signed until the log says that it was restored: the projector sends that to the stream"
        return self._stranger(changes) or self._refusal(current.name) or self._contradicted(current.name)

    def _stranger(self, changes: list[KeyChange]) -> str | None:
        """Why the key is not the one that signed this log, if so."""
        assert self._own is not None
        note = self._log.newest_note()
        current = current_key(self._own.verifier, changes)
        if note is None or _signed_by_one(note, lineage(current, changes)):
            return None
        return (
            f"nothing is signed: {self._source} holds another key than the one that signed log.db, and the log does "
            "not say that it takes its place. Put the old key back. If it is lost, move this one away and run `runlore "
            "audit key --new`, which says so in the log; auditors must be given the new key"
        )

    def _refusal(self, origin: str) -> str | None:
        """Why a witness keeps this log from signing under this name, if so."""
        for told, form in ((self._refused, TWO_HISTORIES), (self._ahead, _BEHIND)):
            if told is None or told[0].origin != origin:
                continue
            if form is TWO_HISTORIES or told[0].size > self._log.tree.size:
                return form.format(source=told[1], size=told[0].size, leaves=self._log.tree.size)
        return None

    def _contradicted(self, origin: str) -> str | None:
        """Why a checkpoint that was published keeps this log from signing, if so."""
        if self._published is None or self._published[0].origin != origin:
            return None
        checkpoint, source = self._published
        if checkpoint.size > self._log.tree.size:
            return _BEHIND.format(source=source, size=checkpoint.size, leaves=self._log.tree.size)
        root = subtree_root(0, checkpoint.size, StoredNodes(self._log.connection)) if checkpoint.size else None
        if root is not None and root != checkpoint.root:
            return TWO_HISTORIES.format(source=source, size=checkpoint.size)
        self._published = None  # it agrees, and this log only grows
        return None


def _signed_by_one(note: str, keys: list[Verifier]) -> bool:
    try:
        read_checkpoint(note, keys)
    except CorruptLogError:
        return False
    return True
