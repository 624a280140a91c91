"""Whether the embedded server still stores events, and when starting it again helps."""

from __future__ import annotations

import http.client
import os
import threading
import time
from pathlib import Path

from runlore.projector.surroundings import ASK_SECONDS, write_error
from runlore.store.folder import DataDir
from runlore.store.ownership import write_to
from runlore.store.private_files import read_struct
from runlore.store.records import Endpoint

WATCH_SECONDS = 1.0
HANGS_SECONDS = 60.0
"""A server that has answered nothing for this long hangs."""
ROOM_BYTES = 1024 * 1024
"""Bytes that must be writable before a server that could not write is started again."""


def has_room(folder: Path) -> bool:
    """Return whether a megabyte can be written into the folder."""
    path = folder / f".room.{os.getpid()}"
    try:
        with write_to(path) as file:
            file.write(bytes(ROOM_BYTES))
            file.flush()
            os.fsync(file.fileno())
    except OSError:
        return False
    finally:
        path.unlink(missing_ok=True)
    return True


class ServerWatch:
    """Asks the embedded server again and again, in a thread, so that nobody waits for one that hangs."""

    def __init__(self, data: DataDir) -> None:
        self._data = data
        self._thread = threading.Thread(target=self._watch, name="runlore-server-watch", daemon=True)
        self._stopping = threading.Event()
        self._heard = time.monotonic()
        self.error: str | None = None
        """The reason why it stores nothing, as of the last check."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(2 * ASK_SECONDS)

    def renew(self) -> None:
        """The server was started again: what was heard of the one before says nothing."""
        self.error, self._heard = None, time.monotonic()

    def hangs(self) -> bool:
        """Return whether it has answered nothing for too long."""
        return time.monotonic() - self._heard > HANGS_SECONDS

    def _watch(self) -> None:
        while not self._stopping.wait(WATCH_SECONDS):
            endpoint = read_struct(self._data.endpoint, Endpoint)
            if endpoint is None or not endpoint.monitor:
                self.renew()
                continue
            try:
                error = write_error(endpoint)
            except (OSError, http.client.HTTPException):
                continue
            again = read_struct(self._data.endpoint, Endpoint)
            if again == endpoint:  # else it is the answer of the one before
                self.error, self._heard = error, time.monotonic()
