"""Making a folder a replica's, for good: it has a view, and never a log or a key."""

from __future__ import annotations

from runlore.projector.views.generations import view_files
from runlore.schemas.errors import SettingsError
from runlore.store.folder import DataDir
from runlore.store.private_files import write_struct
from runlore.store.records import ReplicaMark

_ELSEWHERE = "use another folder for the replica"


def claim_for_replica(data: DataDir) -> None:
    """Make the folder a replica's, or take the one that is there.

    Raises SettingsError for a folder that has a log or signs, or had one: its projector would miss it.
    """
    if data.log.exists():
        raise SettingsError(f"{data.root} has a log.db: it is a projector's folder; {_ELSEWHERE}")
    if data.checkpoint_key.exists():
        raise SettingsError(f"{data.checkpoint_key} signs checkpoints, and a replica never signs: {_ELSEWHERE}")
    if data.replica.exists():
        return
    if view_files(data):
        raise SettingsError(f"{data.projection} has a view and was no replica: it may have lost a log.db; {_ELSEWHERE}")
    write_struct(data.replica, ReplicaMark(None, None), shared=True)
