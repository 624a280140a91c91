"""Small files that are replaced as a whole, with permissions for their readers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import msgspec

from runlore.store.ownership import PRIVATE, open_private, read_private, require_own_folder
from runlore.store.private_folder import mode_in

AnyStruct = TypeVar("AnyStruct", bound=msgspec.Struct)


def write_struct(path: Path, value: msgspec.Struct, shared: bool = False) -> None:
    """Replace a small JSON file whole and durably. `shared`: for all who may read the folder, as the views are."""
    write_private(path, msgspec.json.format(msgspec.json.encode(value)) + b"\n", shared)


def write_private(path: Path, data: bytes, shared: bool = False) -> None:
    """Replace a small file whole: write beside it, fsync, rename, fsync the folder. Raises FolderError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = open_private(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    with os.fdopen(descriptor, "wb") as file:
        if shared and (mode := mode_in(path.parent)) != PRIVATE:
            os.fchmod(descriptor, mode)
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    try:
        beside.replace(path)
    except OSError:
        beside.unlink()
        raise
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def read_struct(path: Path, kind: type[AnyStruct]) -> AnyStruct | None:
    """The content of a small JSON file; None when it is absent or not readable as `kind`, or by this user."""
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (FileNotFoundError, NotADirectoryError, PermissionError, msgspec.MsgspecError, UnicodeDecodeError):
        return None


def read_trusted(path: Path, kind: type[AnyStruct]) -> AnyStruct | None:
    """The same for a file that says where to send events, or holds a secret: it must be this user's own.

    Raises FolderError for one that is not, or that lies in a folder of another user.
    """
    require_own_folder(path.parent)
    try:
        return msgspec.json.decode(read_private(path), type=kind)
    except (FileNotFoundError, msgspec.MsgspecError, UnicodeDecodeError):
        return None
