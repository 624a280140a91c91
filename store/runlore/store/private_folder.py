"""Keeping a data folder private: when it is made, and when one that an earlier version made is used again.

Folders have mode 0700 and files 0600. RUNLORE_SHARE_WITH_GROUP opens the log and the views to a group: then the folder
itself and `projection` have 2750 and the group, and what is made in `projection` inherits both, whoever makes it. Keys,
passwords, outboxes and the server's files are never shared.
"""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from runlore.schemas.errors import SettingsError
from runlore.schemas.settings import Settings
from runlore.store.access import make_folder, using
from runlore.store.folder import DataDir
from runlore.store.ownership import PRIVATE, make_private_file, require_own_folder

SHARED_FOLDER, SHARED_FILE = 0o2750, 0o640
_OTHERS = 0o077
_LOCK = ".lock"


def claim_folder(data: DataDir) -> None:
    """Make the data folder for this user alone, or take the one that is there. For whoever writes to it.

    One of an earlier version, which others could read, is made private; so are its files. Raises FolderError for a
    folder of another user, or one that others may write.
    """
    make_folder(data.root)
    require_own_folder(data.root)
    with using(data.root), os.scandir(data.root) as entries:
        names = [entry.name for entry in entries]
    ours = [data.root / name for name in names if data.is_part(name)]
    if len(ours) == len(names):  # else somebody keeps other things there, for whomever they are
        _close(data.root)
    for path in ours:
        _close(path)


def prepare_folder(settings: Settings) -> None:
    """Claim the data folder, look through all of it, and share it as the settings say. For services, at their start.

    Raises FolderError, SettingsError for a group that there is not, or that this user is no member of.
    """
    data = DataDir(settings.data_dir)
    group = _group_number(settings.share_with_group)
    claim_folder(data)
    make_folder(data.projection)
    for part in (data.nats, data.outboxes, data.open_places, data.root / "restore"):
        for path in _below(part):
            _close(path)
    for path in (data.root, data.projection):
        if group is not None:
            _share(path, group, SHARED_FOLDER, settings)
        elif is_shared(path):
            path.chmod(0o700)
    for path in _below(data.projection):
        if group is not None and path.suffix != _LOCK:
            _share(path, group, SHARED_FILE, settings)
        else:
            _close(path)


def make_shared_folder(path: Path) -> None:
    """Make a folder for what readers read: who may read the folder above it may read this one. Raises FolderError."""
    if not path.is_dir():
        make_folder(path)
        if is_shared(path.parent):
            path.chmod(SHARED_FOLDER)


def make_shared_file(path: Path) -> None:
    """Make an empty file for SQLite, whose -wal and -shm get its mode. Raises FolderError."""
    make_private_file(path, mode_in(path.parent))


def mode_in(folder: Path) -> int:
    """The mode of files that whoever may read the folder may read."""
    return SHARED_FILE if is_shared(folder) else PRIVATE


def is_shared(folder: Path) -> bool:
    """Return whether a folder is shared with a group by RUNLORE_SHARE_WITH_GROUP."""
    wanted = stat.S_ISGID | stat.S_IRGRP
    return folder.stat().st_mode & wanted == wanted


def _close(path: Path) -> None:
    """Take away what others may do with a file or folder of this user; what cannot be changed, doctor reports."""
    with contextlib.suppress(OSError):
        status = path.stat()
        keep = stat.S_IRGRP | stat.S_IXGRP if stat.S_ISDIR(status.st_mode) and is_shared(path) else 0
        if status.st_uid == os.geteuid() and status.st_mode & _OTHERS & ~keep:
            path.chmod(stat.S_IMODE(status.st_mode) & ~(_OTHERS & ~keep))


def _share(path: Path, group: int, mode: int, settings: Settings) -> None:
    try:
        status = path.stat()
        if status.st_gid != group:
            os.chown(path, -1, group)
        if stat.S_IMODE(status.st_mode) != mode or status.st_gid != group:
            path.chmod(mode)
    except FileNotFoundError:
        pass  # a write-ahead log that its last reader took along
    except PermissionError as error:
        raise SettingsError(
            f"RUNLORE_SHARE_WITH_GROUP={settings.share_with_group}: {path} cannot be given to this group ({error}): it "
            "must be yours, and you a member of the group"
        ) from error


def _group_number(name: str | None) -> int | None:
    if name is None:
        return None
    import grp  # only on request

    try:
        return grp.getgrnam(name).gr_gid
    except KeyError:
        raise SettingsError(f"RUNLORE_SHARE_WITH_GROUP={name}: there is no such group on this machine") from None


def _below(folder: Path) -> Iterator[Path]:
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            if not path.is_symlink():
                yield path
