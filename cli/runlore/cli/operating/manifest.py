"""The manifest of a backup: what is in it, from when, and the checksum of each file. It is written last."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import msgspec

from runlore.schemas.errors import CorruptLogError, NewerSchemaError, NotFoundError
from runlore.store.private_files import write_struct

NAME = "manifest.json"
FORMAT = 1


class BackupFile(msgspec.Struct, frozen=True):
    """One file of a backup."""

    bytes: int
    sha256: str


class StreamThen(msgspec.Struct, frozen=True):
    """The stream when the backup was made: log.db holds everything up to `last`."""

    first: int
    last: int
    messages: int
    config: dict[str, Any]


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """A backup of a data folder."""

    format: int = FORMAT
    made: str
    """Time, UTC."""
    version: str
    """Of Runlore."""
    epoch: str
    """Of the stream that log.db is a copy of."""
    position: int
    """Everything up to here is in log.db."""
    leaves: int
    root: str
    """Of the audit tree of log.db, hexadecimal."""
    view: str | None
    """File of the view; it is at `position` or before."""
    stream: StreamThen | None
    """None: no server answered."""
    files: dict[str, BackupFile]


def described(path: Path) -> BackupFile:
    """Size and checksum of a file."""
    with path.open("rb") as file:
        return BackupFile(path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest())


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Complete a backup: durably, and as a whole."""
    write_struct(folder / NAME, manifest)


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a complete backup, whose files were all compared with it.

    Raises NotFoundError without one, CorruptLogError when a file is missing or has changed, NewerSchemaError.
    """
    path = folder / NAME
    try:
        manifest = msgspec.json.decode(path.read_bytes(), type=Manifest)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFoundError(f"no backup in {folder}: {NAME} is written last, and is not there") from None
    except msgspec.MsgspecError as error:
        raise CorruptLogError(f"{path} is no manifest of a backup: {error}") from error
    if manifest.format > FORMAT:
        raise NewerSchemaError(f"{path} was written by a newer version of Runlore ({manifest.version})")
    for name, expected in manifest.files.items():
        file = folder / name
        if Path(name).name != name or not file.is_file():
            raise CorruptLogError(f"the backup in {folder} is not complete: {name} is missing")
        if described(file) != expected:
            raise CorruptLogError(f"the backup in {folder} is damaged: {name} is not the file that was backed up")
    return manifest
