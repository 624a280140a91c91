"""Whether a data folder is a copy of another one that is still there.

`folder.json` says where a folder was when it was used last: path, device and inode. A folder that is moved, restored,
or mounted elsewhere is found somewhere else, and writes its new place into the file. A copy finds that the place in the
file is still another folder, with that device and inode. Copies on another machine, and those whose original is gone,
are not noticed: they look like a move.
"""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote_to_bytes

import msgspec

from runlore.schemas.errors import FolderError
from runlore.schemas.names import is_unicode
from runlore.store.folder import DataDir
from runlore.store.private_files import read_struct, write_struct

_SCHEME = "file://"


class Home(msgspec.Struct, frozen=True):
    """Where a folder is; the content of folder.json."""

    path: str
    """As `_text` writes it."""
    device: int
    inode: int


def require_no_copy(data: DataDir) -> None:
    """Record where the folder is. Raises FolderError when it is a copy of one that is still there."""
    here, before = _home(data.root), read_struct(data.home, Home)
    elsewhere = before is not None and (before.device, before.inode) != (here.device, here.inode)
    if before is not None and elsewhere and _is_there(before):
        raise FolderError(
            f"{data.root} is a copy of {_path(before)}, which is still there: both would give the same numbers to "
            f"different events and sign them with one key. Use {_path(before)}; `runlore operator backup` makes a copy "
            f"that can be restored. If this one is to go on alone, remove {data.home}, and never use the other again"
        )
    if before != here:
        write_struct(data.home, here)


def _home(root: Path) -> Home:
    resolved = root.resolve()
    status = resolved.stat()
    return Home(_text(resolved), status.st_dev, status.st_ino)


def _is_there(home: Home) -> bool:
    try:
        return _home(_path(home)) == home
    except OSError:
        return False


def _text(path: Path) -> str:
    """A path in JSON, which is Unicode: a path that is not becomes an address."""
    return str(path) if is_unicode(str(path)) else path.as_uri()


def _path(home: Home) -> Path:
    if not home.path.startswith(_SCHEME):
        return Path(home.path)
    return Path(os.fsdecode(unquote_to_bytes(home.path.removeprefix(_SCHEME))))
