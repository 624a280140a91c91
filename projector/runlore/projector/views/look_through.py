"""Looking for damage in a view that is in use, and limiting rebuilds."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

from runlore.schemas.errors import CorruptLogError
from runlore.store.sqlite import is_damage, open_reader, sqlite

LOOK_SECONDS = 60.0
LOOK_SHARE = 0.01
"""The check takes no more than this share of the time, however large the view."""

MOST_REBUILDS = 5
REBUILD_SECONDS = 600.0


class LookThrough:
    """SQLite's `quick_check` of one view, in a separate thread: at once, then periodically.

    The fold may never come to a page that readers need. A damaged structure is found, a changed value is not: that is
    for `runlore audit verify`. `found` is called with the damage, from that thread.
    """

    def __init__(self, path: Path, found: Callable[[str], None]) -> None:
        self._path, self._found = path, found
        self._due = time.monotonic()
        self._thread: threading.Thread | None = None
        self._closed = threading.Event()

    def take_if_due(self) -> None:
        """Start looking, if it is time and nobody looks."""
        if time.monotonic() >= self._due and not (self._thread and self._thread.is_alive()):
            self._thread = threading.Thread(target=self._look, name="runlore-look", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Give up looking."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def _look(self) -> None:
        begun = time.monotonic()
        try:
            with contextlib.closing(open_reader(self._path)) as connection:
                connection.set_progress_handler(self._closed.is_set, 100_000)
                finding = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        except sqlite.DatabaseError as error:
            finding = str(error) if is_damage(error) else "ok"  # interrupted, removed, busy: the fold meets it itself
        if finding != "ok" and not self._closed.is_set():
            self._found(f"it is damaged: {finding}")
        ended = time.monotonic()
        self._due = ended + max(LOOK_SECONDS, (ended - begun) / LOOK_SHARE)


class Rebuilds:
    """Counts rebuilds, so that a disk that damages every new view ends in a sentence instead of a loop."""

    def __init__(self) -> None:
        self._times: list[float] = []

    def count(self, reason: str) -> None:
        """Note one more. Raises CorruptLogError when there were too many lately."""
        now = time.monotonic()
        self._times = [*(at for at in self._times if now - at < REBUILD_SECONDS), now]
        if len(self._times) > MOST_REBUILDS:
            raise CorruptLogError(
                f"the view had to be rebuilt {len(self._times)} times within {REBUILD_SECONDS / 60:g} minutes, now "
                f"because {reason}. log.db could be read: check the disk, and what else writes to the folder"
            )
