"""Orphans: outboxes whose process is gone, found by their free locks."""

from __future__ import annotations

from collections.abc import Callable, Container
from pathlib import Path

from runlore.producer.outboxes.outbox import Outbox
from runlore.schemas.errors import OutboxError
from runlore.store.folder import DataDir

MAX_ADOPTED = 64
"""Orphans opened at once; the next look takes the next ones."""


def adopt_orphans(
    data: DataDir, warn: Callable[[str], None], accepts: Callable[[Outbox], bool], skip: Container[Path] = ()
) -> list[Outbox]:
    """Every outbox of the folder with events in it, accepted, and without a living process; now locked by us."""
    adopted: list[Outbox] = []
    for path in sorted(data.outboxes.glob("*.db")):
        if len(adopted) == MAX_ADOPTED:
            break
        if path in skip:
            continue
        try:
            outbox = Outbox.adopt(path)
        except OutboxError as error:
            warn(str(error))
            continue
        if outbox is None:
            continue
        if (outbox.waiting() or outbox.ledger.kept()) and accepts(outbox):
            adopted.append(outbox)
        else:
            outbox.close()
    return adopted
