"""Orphans: outboxes whose process is gone, found by their free locks."""

from __future__ import annotations

from collections.abc import Callable, Container
from pathlib import Path

from runlore.producer.outboxes.damaged import damaged_folder, set_aside
from runlore.producer.outboxes.outbox import Outbox, outbox_paths
from runlore.producer.outboxes.reserve import Reserve
from runlore.producer.outboxes.rows import DamagedError
from runlore.schemas.errors import OutboxError
from runlore.store.folder import DataDir

MAX_ADOPTED = 64
"""Orphans opened at once; the next look takes the next ones."""


def adopt_orphans(
    data: DataDir,
    warn: Callable[[str], None],
    accepts: Callable[[Outbox], bool],
    skip: Container[Path] = (),
    since: str = "",
) -> list[Outbox]:
    """Outboxes of the folder with events in them, accepted, and without a living process; at most MAX_ADOPTED.

    They are locked by us now. With `since`, only those made after that ID was. Each is taken for itself: a damaged one
    is set aside and keeps no other back.
    """
    if data.outboxes.exists():
        Reserve(data.root).keep()
    adopted: list[Outbox] = []
    for path in outbox_paths(data.outboxes):
        if len(adopted) == MAX_ADOPTED:
            break
        outbox = _adopt(path, warn, accepts) if path not in skip and path.stem >= since else None
        if outbox is not None:
            adopted.append(outbox)
    return adopted


def _adopt(path: Path, warn: Callable[[str], None], accepts: Callable[[Outbox], bool]) -> Outbox | None:
    try:
        outbox = Outbox.adopt(path)
    except OutboxError as error:
        return rescued(path, error.__cause__ or error, warn)
    except OSError as error:
        warn(f"cannot open the outbox {path}: {error}")
        return None
    if outbox is None:
        return None
    try:
        if (outbox.waiting() or outbox.ledger.kept()) and accepts(outbox):
            return outbox
    except (DamagedError, OSError) as error:
        outbox.close()
        return rescued(path, error, warn)
    outbox.close()
    return None


def rescued(path: Path, error: BaseException, warn: Callable[[str], None]) -> Outbox | None:
    """Set an orphan aside that is closed by now, if it is damaged; else leave it for a later look.

    Returns the outbox of what could be read.
    """
    if not isinstance(error, DamagedError):
        warn(f"the outbox {path} cannot be used now: {error}")
        return None
    try:
        done = set_aside(path, str(error))
        if done is None:
            return None
        damage, again = done
        warn(
            f"the outbox {path} was damaged ({error}). It is kept in {damaged_folder(path.parent)}; {damage.rescued:,} "
            "event(s) could be read and are sent"
        )
        return None if again is None else Outbox.adopt(again)
    except OSError as failure:
        warn(f"the outbox {path} is damaged ({error}) and could not be set aside: {failure}")
        return None
