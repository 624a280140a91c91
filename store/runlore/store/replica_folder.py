"""Which folders are replicas: a replica has a view and no log, so it archives, signs and proves nothing."""

from __future__ import annotations

from runlore.schemas.errors import NotFoundError, SettingsError
from runlore.store.folder import DataDir


def require_no_replica(data: DataDir) -> None:
    """Raise SettingsError for a replica's folder, in which a projector would begin a second log and sign it."""
    if data.replica.exists():
        raise SettingsError(
            f"{data.root} is a replica: it follows another folder's projector, and never archives or signs. Use "
            f"another folder; to make this one a projector's, stop the replica and move {data.projection} away"
        )


def no_log(data: DataDir) -> NotFoundError | None:
    """Return the error for asking a replica for the log; None where the folder is none."""
    if not data.replica.exists():
        return None
    return NotFoundError(
        f"{data.root} is a replica: it has a view and no log, so nothing can be proved, replayed or rebuilt from it. "
        "Ask in the projector's folder"
    )
