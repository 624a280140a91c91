"""Small files that are replaced as a whole, with permissions for their readers."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TypeVar

import msgspec

from runlore.store.access import using

PRIVATE, PUBLIC = 0o600, 0o644
"""Who may read a small file: its owner, or everybody whom the folder and the umask let, as they may read the views."""

AnyStruct = TypeVar("AnyStruct", bound=msgspec.Struct)


def write_struct(path: Path, value: msgspec.Struct, mode: int = PRIVATE) -> None:
    """Replace a small JSON file whole and durably."""
    write_private(path, msgspec.json.format(msgspec.json.encode(value)) + b"\n", mode)


def write_private(path: Path, data: bytes, mode: int = PRIVATE) -> None:
    """Replace a small file whole: write beside it, fsync, rename, fsync the folder. Raises FolderError."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    with using(beside):
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, mode)
    with os.fdopen(descriptor, "wb") as file:
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
