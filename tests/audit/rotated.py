"""A log whose key was rotated twice."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from runlore.projector.archiving.archive import Archive
from runlore.projector.audit.bundle import write_bundle
from runlore.projector.audit.keys import Signer, Verifier, make_signer
from runlore.projector.audit.opening import open_audited
from runlore.projector.audit.prove import Prover
from runlore.schemas.subjects import SIGNING_SUBJECT
from runlore.store.audit.checkpoint import Checkpoint
from runlore.store.audit.leaf import origin_of
from runlore.store.audit.statement import Statement, statement_id
from runlore.store.log_rows import Received
from tests.audit.logs import EPOCH, message, messages

FIRST_STATEMENT, SECOND_STATEMENT, LAST = 11, 22, 30


class RotatedLog:
    """Ten events, a rotation, ten more, another rotation, eight more; each part signed with its key."""

    def __init__(self, root: Path) -> None:
        self.log = root / "log.db"
        self.keys = [make_signer(root / f"key-{number}", origin_of(EPOCH)) for number in range(3)]
        self.notes: list[str] = []
        with contextlib.closing(Archive.open(self.log, EPOCH)) as archive:
            first, second, third = self.keys
            self._part(archive, messages(1, 10), first)
            self._part(archive, [self.statement(archive, 1, first, second), *messages(12, 21)], second)
            self._part(archive, [self.statement(archive, 2, second, third), *messages(23, LAST)], third)

    def statement(self, archive: Archive, number: int, old: Signer, new: Signer) -> Received:
        stated = Statement("rotated", archive.tree.size, archive.tree.root(), old.verifier.vkey, new.verifier.vkey)
        payload = stated.signed([old, new]).encode()
        return message(archive.position + 1, payload, statement_id(number))._replace(subject=SIGNING_SUBJECT)

    def _part(self, archive: Archive, received: list[Received], signer: Signer) -> None:
        archive.append(received)
        tree = Checkpoint(origin_of(EPOCH), archive.tree.size, archive.tree.root())
        self.notes.append(tree.signed(signer))
        archive.add_checkpoint(archive.tree.size, self.notes[-1])

    def bundled(self, path: Path, *positions: int, trusted: Sequence[Verifier] = ()) -> Path:
        with contextlib.closing(open_audited(self.log)) as log:
            prover = Prover(log, trusted or [self.keys[-1].verifier])
            write_bundle(path, prover, "default", ["model:m"], positions)
        return path
