"""Logs whose key was rotated, or that were restored."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from runlore.projector.archiving.archive import Archive
from runlore.projector.audit.bundle import write_bundle
from runlore.projector.audit.keys import Signer, Verifier, load_signer, make_signer
from runlore.projector.audit.opening import open_audited
from runlore.projector.audit.prove import Prover
from runlore.schemas.subjects import SIGNING_SUBJECT
from runlore.store.audit.checkpoint import Checkpoint
from runlore.store.audit.leaf import origin_of
from runlore.store.audit.statement import KeyReason, Statement, statement_id
from runlore.store.log_rows import Received
from tests.audit.logs import EPOCH, message, messages

FIRST_STATEMENT, SECOND_STATEMENT, LAST = 11, 22, 30


class SignedParts:
    """A log in parts, each signed with a key of its own."""

    def __init__(self, root: Path, keys: Sequence[Signer]) -> None:
        self.log, self.keys = root / "log.db", list(keys)
        self.notes: list[str] = []

    def statement(self, archive: Archive, number: int, reason: KeyReason, old: Signer, new: Signer) -> Received:
        stated = Statement(reason, archive.tree.size, archive.tree.root(), old.verifier.vkey, new.verifier.vkey)
        payload = stated.signed([old, new]).encode()
        return message(archive.position + 1, payload, statement_id(number))._replace(subject=SIGNING_SUBJECT)

    def part(self, archive: Archive, received: list[Received], signer: Signer) -> None:
        archive.append(received)
        tree = Checkpoint(signer.verifier.name, archive.tree.size, archive.tree.root())
        self.notes.append(tree.signed(signer))
        archive.add_checkpoint(archive.tree.size, self.notes[-1])

    def bundled(self, path: Path, *positions: int, trusted: Sequence[Verifier] = ()) -> Path:
        with contextlib.closing(open_audited(self.log)) as log:
            prover = Prover(log, trusted or [self.keys[-1].verifier])
            write_bundle(path, prover, "default", ["model:m"], positions)
        return path


class RotatedLog(SignedParts):
    """Ten events, a rotation, ten more, another rotation, eight more."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, [make_signer(root / f"key-{number}", origin_of(EPOCH)) for number in range(3)])
        first, second, third = self.keys
        with contextlib.closing(Archive.open(self.log, EPOCH)) as archive:
            self.part(archive, messages(1, 10), first)
            rotation = self.statement(archive, 1, "rotated", first, second)
            self.part(archive, [rotation, *messages(FIRST_STATEMENT + 1, 21)], second)
            rotation = self.statement(archive, 2, "rotated", second, third)
            self.part(archive, [rotation, *messages(SECOND_STATEMENT + 1, LAST)], third)


class RestoredLog(SignedParts):
    """Ten events, a restore, after which the key signs under another name, and two more."""

    def __init__(self, root: Path) -> None:
        first = make_signer(root / "key", origin_of(EPOCH))
        super().__init__(root, [first, load_signer(root / "key", f"{origin_of(EPOCH)}/part")])
        with contextlib.closing(Archive.open(self.log, EPOCH)) as archive:
            self.part(archive, messages(1, 10), first)
            restore = self.statement(archive, 1, "restored", *self.keys)
            self.part(archive, [restore, *messages(FIRST_STATEMENT + 1, 13)], self.keys[1])
