"""The open runs and steps of a process, shown to its workers.

A worker of a pool is started in one step and may be used in the next, or in another run: its environment or fork is
then out of date. It reads here, in memory shared with the process that started it, what is still open.
"""

from __future__ import annotations

import atexit
import mmap
import os
import struct
import zlib
from collections.abc import Iterable
from pathlib import Path
from urllib.parse import quote, unquote

from runlore.producer.actor import this_process
from runlore.store.access import make_folder
from runlore.store.folder import DataDir
from runlore.store.lock import is_running
from runlore.store.ownership import private_opener
from runlore.store.private_folder import claim_folder

SIZE = 1 << 16
"""Bytes of the file. What does not fit is unknown to workers: they believe their environment."""
_HEAD = struct.Struct("<II")
"""Length and checksum of the names: a reader sees by it that they are whole."""
_ROOM = SIZE - _HEAD.size
_UNKNOWN = _HEAD.pack(_ROOM + 1, 0)
_TRIES = 100


class Board:
    """The shared memory of one process; that process writes, its workers read."""

    def __init__(self, memory: mmap.mmap) -> None:
        self._memory = memory
        self._seen: bytes | None = None
        self._names: frozenset[str] | None = None

    def show(self, names: Iterable[str]) -> None:
        """Replace all names."""
        text = "\n".join(names).encode()
        if len(text) > _ROOM:
            self._memory[: _HEAD.size] = _UNKNOWN
            return
        self._memory[_HEAD.size : _HEAD.size + len(text)] = text
        self._memory[: _HEAD.size] = _HEAD.pack(len(text), zlib.crc32(text))

    def has(self, name: str) -> bool:
        """Return whether the name is shown, or may be: the names are unknown."""
        if self._memory[: _HEAD.size] != self._seen:
            self._read()
        return self._names is None or name in self._names

    def _read(self) -> None:
        for _ in range(_TRIES):
            head = self._memory[: _HEAD.size]
            length, checksum = _HEAD.unpack(head)
            text = self._memory[_HEAD.size : _HEAD.size + length]
            if length > _ROOM:
                self._seen, self._names = head, None
                return
            if zlib.crc32(text) == checksum:
                self._seen, self._names = head, frozenset(text.decode().split("\n"))
                return
        self._names = None  # the writer died in between, or never rests


def own_board(root: Path) -> Board | None:
    """A board for the workers of this process. None where the data folder cannot be written."""
    path = _path(root, this_process().name)
    try:
        claim_folder(DataDir(root))
        make_folder(path.parent)
        _remove_left(path.parent)
        path.unlink(missing_ok=True)  # never cut short what a worker has mapped
        with open(path, "w+b", opener=private_opener) as file:
            file.write(bytes(SIZE))  # real blocks: on a full disk this fails here, and not at a write to memory
            file.flush()
            board = Board(mmap.mmap(file.fileno(), SIZE))
    except OSError:
        return None
    atexit.register(_remove, path, os.getpid())
    return board


def board_of(root: Path, process: str) -> Board | None:
    """The board of the process that started this one. None where it has none, or runs on another machine."""
    try:
        with _path(root, process).open("rb") as file:
            return Board(mmap.mmap(file.fileno(), SIZE, access=mmap.ACCESS_READ))
    except (OSError, ValueError):
        return None


def _path(root: Path, process: str) -> Path:
    return DataDir(root).open_places / quote(process, safe="")


def _remove(path: Path, pid: int) -> None:
    if os.getpid() == pid:  # a forked child has the parent's exit handlers
        path.unlink(missing_ok=True)


def _remove_left(folder: Path) -> None:
    """Remove the boards of this machine's processes that were killed."""
    host = this_process().name.partition("/")[0]
    for path in folder.iterdir():
        parts = unquote(path.name).split("/")
        if len(parts) == 3 and parts[0] == host and parts[1].isdecimal() and not is_running(int(parts[1])):
            path.unlink(missing_ok=True)
