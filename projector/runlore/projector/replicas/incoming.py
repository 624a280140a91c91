"""A view that arrives from the bucket: unpacked into a file of its own, and checked, before it counts as a view."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import zlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

from runlore.projector.snapshots.shelf import Stored
from runlore.projector.surroundings import FULL_BYTES
from runlore.projector.views.digest import ViewSnapshot
from runlore.projector.views.generations import next_path, remove_view
from runlore.projector.views.view import View
from runlore.schemas.errors import CorruptLogError, RunloreError
from runlore.store.folder import DataDir
from runlore.store.ownership import open_private
from runlore.store.private_folder import make_shared_file
from runlore.store.sqlite import sqlite
from runlore.wire.objects import DamagedObjectError

_GZIP = 16 + zlib.MAX_WBITS
_INCOMING = "incoming.db"


class NoRoomError(RunloreError):
    """The disk has no room for the view."""


async def fetch_view(data: DataDir, stored: Stored, content: AsyncIterator[bytes], verify: bool) -> View:
    """Fetch a stored view into the folder, and open it: a new generation, which is not live yet.

    Killed at any moment, it leaves the live view as it is.

    `verify`: compute its canonical digest. Raises DamagedObjectError, CorruptLogError where the file is not the view
    that it claims to be, NoRoomError, and what the server raises.
    """
    path = data.projection / _INCOMING
    remove_view(path)  # of an attempt that was cut short
    with contextlib.ExitStack() as unfinished:
        unfinished.callback(remove_view, path)
        await _unpack(path, stored, content)
        await asyncio.to_thread(_check, path, stored, verify)
        final = next_path(data)
        path.rename(final)  # never over a file: nothing that lies beside it belongs to another
        unfinished.callback(remove_view, final)
        view = View.open(final)
        unfinished.pop_all()
    return view


async def _unpack(path: Path, stored: Stored, content: AsyncIterator[bytes]) -> None:
    wanted = stored.snapshot.view_bytes
    _require_room(path.parent, wanted)
    make_shared_file(path)
    descriptor = open_private(path, os.O_WRONLY)
    try:
        unpacker, size = zlib.decompressobj(_GZIP), 0
        async for chunk in content:
            # In a thread: the next chunks arrive meanwhile, and a slow disk does not make this process seem stuck.
            size += await asyncio.to_thread(_write, descriptor, unpacker.decompress, chunk)
            if size > wanted:
                break
        await asyncio.to_thread(os.fsync, descriptor)
    except zlib.error as error:
        raise DamagedObjectError(f"{stored.label} is damaged: {error}") from error
    finally:
        os.close(descriptor)
    if size != wanted or not unpacker.eof:
        raise DamagedObjectError(f"{stored.label} is damaged: its view has {size:,} bytes, and should have {wanted:,}")


def _write(descriptor: int, unpack: Callable[[bytes], bytes], chunk: bytes) -> int:
    block = memoryview(unpack(chunk))
    written = 0
    while written < len(block):
        written += os.write(descriptor, block[written:])
    return written


def _check(path: Path, stored: Stored, verify: bool) -> None:
    """Compare a view with the description of its snapshot. Raises CorruptLogError."""
    wanted = stored.snapshot
    try:
        # Read only: a write-ahead log that is left beside the file would not go with it when it is renamed.
        with contextlib.closing(ViewSnapshot(path)) as view:
            found = (view.epoch, view.position, *view.made_by)
            differing = _differing(view.digest(), wanted.tables) if verify else []
    except sqlite.DatabaseError as error:
        raise CorruptLogError(f"{stored.label} holds no view: {error}") from error
    if found != (wanted.epoch, wanted.position, wanted.view_schema, wanted.fold_version):
        raise CorruptLogError(f"{stored.label} holds another view: epoch {found[0]}, event {found[1]:,}")
    if differing:
        raise CorruptLogError(
            f"{stored.label} does not have the digest that it was stored with; it differs in: {', '.join(differing)}"
        )


def _differing(found: dict[str, str], wanted: dict[str, str]) -> list[str]:
    return [table for table, digest in wanted.items() if found.get(table) != digest]


def _require_room(folder: Path, view_bytes: int) -> None:
    needed, free = view_bytes + FULL_BYTES, shutil.disk_usage(folder).free
    if free < needed:
        raise NoRoomError(
            f"the view needs {needed / 1e6:,.0f} MB on the disk of {folder}, and {free / 1e6:,.0f} MB are free"
        )
