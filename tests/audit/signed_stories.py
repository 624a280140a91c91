"""A folder whose log holds signed events, statements about their keys, and forgeries of both."""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from runlore.projector.archiving.archive import Archive
from runlore.projector.archiving.erasing import Erasing
from runlore.projector.audit.keys import Signer, load_or_make_signer
from runlore.projector.audit.signing import CheckpointWriter
from runlore.projector.views.rebuild import rebuild_view
from runlore.schemas import Actor
from runlore.schemas.codec import decode_event
from runlore.schemas.redaction import redacted
from runlore.schemas.signatures import owned_id
from runlore.schemas.subjects import SIGNING_SUBJECT
from runlore.store.audit.actor_keys import ActorKey, KeyState, actor_key_id
from runlore.store.audit.erasure import ErasedEvent, Erasure
from runlore.store.audit.leaf import origin_of
from runlore.store.audit.statement import statement_id
from runlore.store.folder import DataDir
from runlore.store.log_rows import Received
from tests.events import EPOCH, LogBuilder
from tests.signed_events import ADA, EVE, public, signed

UNSIGNED, EARLY, ADDED, PROVED, FOREIGN, UNKNOWN, INTRUDER, STRIPPED, REVOKED, LATE = range(1, 11)
"""What is at each position."""
SUBJECT = "runlore.default.model.churn.1"


class SignedLog:
    """Collects messages, signed by keys of producers and of the log."""

    def __init__(self, root: Path) -> None:
        self.data = DataDir(root)
        self.data.log.parent.mkdir(parents=True)
        self.own = load_or_make_signer(self.data.checkpoint_key, origin_of(EPOCH))
        self.messages: list[Received] = []
        self._statements = self._actors = 0

    def log(
        self,
        key: Ed25519PrivateKey | None = None,
        owner: Ed25519PrivateKey | None = None,
        actor: Actor | None = None,
        **metadata: object,
    ) -> None:
        """One event, signed by `key`, of a producer whose ID has the key `owner`: the same one, unless told otherwise."""
        built = LogBuilder(first=len(self.messages) + 1)
        changes: dict[str, Any] = {} if actor is None else {"actor": actor}
        if owner is not None:
            changes["producer_id"] = owned_id("producer", public(owner))
        row = built.log("model:churn@1", metadata, salt=bytes(16), **changes)
        payload = row.payload if key is None else signed(decode_event(row.payload), key, **changes)
        self._add(row.event_id, SUBJECT, payload)

    def state(self, state: KeyState, key: Ed25519PrivateKey, by: Signer | None = None) -> None:
        """A statement about a key of ada's."""
        self._actors += 1
        note = ActorKey(state, "ada", public(key).hex(), "as agreed").signed(by or self.own)
        self._add(actor_key_id(self._actors), SIGNING_SUBJECT, note.encode())

    def erase(self, position: int, *path: str) -> None:
        """The erasure of a value, and what it leaves of the event."""
        payload = self.messages[position - 1].payload
        paths = (("metadata", *path),)
        hashes = (sha256(one).digest() for one in (payload, redacted(payload, paths, "left")))
        self.note(Erasure("left", "bob", (ErasedEvent(position, *hashes, paths),)).signed(self.own))
        self.write()
        archive = Archive.open(self.data.log, EPOCH)
        assert Erasing(archive).execute(self.own.verifier)
        archive.close()
        rebuild_view(self.data)

    def note(self, note: str) -> None:
        """The next statement about the log's own key, or an erasure."""
        self._statements += 1
        self._add(statement_id(self._statements), SIGNING_SUBJECT, note.encode())

    def _add(self, event_id: str | None, subject: str, payload: bytes) -> None:
        position = len(self.messages) + 1
        self.messages.append(Received(position, event_id, 1_800_000_000_000_000_000 + position, subject, b"", payload))

    def write(self) -> DataDir:
        """Archive and sign everything, and fold it."""
        archive = Archive.open(self.data.log, EPOCH)
        archive.append(self.messages[archive.position :])
        CheckpointWriter(archive, self.data.checkpoint_key).sign()
        archive.close()
        rebuild_view(self.data)
        return self.data


def signed_log(root: Path) -> SignedLog:
    """The story of the constants above, which is not written yet."""
    log = SignedLog(root / "data")
    log.log(accuracy=0.5)
    log.log(ADA, accuracy=0.6)
    log.state("registered", ADA)
    log.log(ADA, accuracy=0.7)
    log.state("registered", EVE, by=load_or_make_signer(root / "foreign.key", origin_of(EPOCH)))
    log.log(EVE, accuracy=0.8)
    log.log(EVE, owner=ADA, accuracy=0.9)
    log.log(owner=ADA, accuracy=0.95)
    log.state("revoked", ADA)
    log.log(ADA, accuracy=1.0)
    return log
