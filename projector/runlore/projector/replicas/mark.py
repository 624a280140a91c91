"""Making a folder a replica's, for good: it has a view, and never a log or a key."""

from __future__ import annotations

import contextlib

from runlore.projector.views.generations import view_files
from runlore.schemas.errors import SettingsError
from runlore.store.folder import DataDir
from runlore.store.private_files import read_struct, write_struct
from runlore.store.records import ProjectorStatus, ReplicaMark

_ELSEWHERE = "use another folder for the replica"


def require_free_for_replica(data: DataDir) -> None:
    """Return when the folder is a replica's, or may become one.

    Raises SettingsError for a folder that has a log or signs, or had one: its projector would miss it.
    """
    if data.log.exists():
        raise SettingsError(f"{data.root} has a log.db: it is a projector's folder; {_ELSEWHERE}")
    if data.checkpoint_key.exists():
        raise SettingsError(f"{data.checkpoint_key} signs checkpoints, and a replica never signs: {_ELSEWHERE}")
    if data.replica.exists():
        return
    status = read_struct(data.status, ProjectorStatus)
    if view_files(data) or (status is not None and status.archived):
        raise SettingsError(f"{data.projection} had a projector: it may have lost a log.db; {_ELSEWHERE}")


def claim_for_replica(data: DataDir) -> None:
    """Make the folder a replica's, or take the one that is there. Call it once the stream has answered."""
    if not data.replica.exists():
        write_struct(data.replica, ReplicaMark(None, None), shared=True)


def leave_nothing(data: DataDir, made: bool) -> None:
    """Remove what a replica that reached no stream has put into the folder; `made`: the folder, too.

    Call it while the folder's lock is held. What others have put there stays.
    """
    data.status.unlink(missing_ok=True)
    ours = {data.home, data.projection, data.projector_lock}
    if {*data.root.iterdir(), *data.projection.iterdir()} <= ours:
        data.projector_lock.unlink()
        data.home.unlink(missing_ok=True)
        with contextlib.suppress(OSError):  # somebody has put something there meanwhile
            data.projection.rmdir()
            if made:
                data.root.rmdir()
