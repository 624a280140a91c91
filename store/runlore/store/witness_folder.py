"""Which folders are a witness's: its key and memory are of no use beside the log that it is to watch."""

from __future__ import annotations

from pathlib import Path

from runlore.schemas.errors import SettingsError
from runlore.store.folder import DataDir

KEY, MEMORY, LOCK = "witness.key", "witness.json", "witness.lock"


def require_no_data_folder(folder: Path) -> None:
    """Raise SettingsError for a data folder: whoever may write the log there could rewrite the witness, too."""
    data = DataDir(folder)
    parts = (data.home, data.projection, data.outboxes, data.endpoint, data.checkpoint_key)
    found = next((part.name for part in parts if _is_there(part)), None)
    if found is not None:
        raise SettingsError(
            f"{folder} is a data folder (it has {found}): a witness beside the log that it is to watch proves nothing. "
            "Use another folder, best on another machine"
        )


def require_no_witness(data: DataDir) -> None:
    """Raise SettingsError for the folder of a witness, in which a projector would keep the log."""
    if _is_there(data.root / KEY):
        raise SettingsError(
            f"{data.root} is the folder of a witness (it has {KEY}), which proves nothing beside the log that it is to "
            "watch. Use another data folder"
        )


def _is_there(path: Path) -> bool:
    """Return False, too, in a folder that this user may not look into: who opens it says so."""
    try:
        return path.exists()
    except PermissionError:
        return False
