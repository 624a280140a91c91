"""Care for the view that is folded: its search index follows, its write-ahead log stays small, older ones go."""

from __future__ import annotations

import time

from runlore.projector.database import CHECKPOINT_SECONDS, WAL_BYTES
from runlore.projector.views.generations import remove_old_views
from runlore.projector.views.view import View
from runlore.store.folder import DataDir

SEARCH_SECONDS = 1.0
"""The full-text index follows at this distance."""


class ViewCare:
    """Does what is due, each time it is asked: between batches, and about once a second."""

    def __init__(self, data: DataDir) -> None:
        self._data = data
        self._indexed = time.monotonic()
        self._checkpointed = 0.0

    def care_for(self, view: View) -> None:
        now = time.monotonic()
        if now - self._indexed >= SEARCH_SECONDS:
            view.sync_search()
            self._indexed = time.monotonic()
        if now - self._checkpointed > CHECKPOINT_SECONDS:
            remove_old_views(self._data)
            if view.wal_bytes() > WAL_BYTES:
                view.checkpoint()
            self._checkpointed = time.monotonic()
