"""Has the projector's checkpoints stamped by a time-stamping authority (RFC 3161)."""

from __future__ import annotations

import asyncio
import time

from runlore.projector.archiving.archive import Archive
from runlore.projector.audit.timestamps import ask, require_library, stamped_text
from runlore.projector.logs import get_log
from runlore.projector.state import ServiceState

STAMP_SECONDS = 60.0
"""Between two time stamps: authorities limit what they give."""
RETRY_SECONDS = 30.0
"""After a failure."""
_PROBLEM = "time stamps"


class Timestamping:
    """Asks for a time stamp of the newest checkpoint now and then. The waiting is in another thread."""

    def __init__(self, url: str | None, archive: Archive, state: ServiceState) -> None:
        """Raises SettingsError when there is an address, and the library is not installed."""
        self._url, self._archive, self._state = url, archive, state
        self._next = float("-inf")
        self._failed = False
        if url is not None:
            require_library()

    async def look(self, last: bool = False) -> None:
        """Have the newest checkpoint stamped, if it is time; the last one, unless it was refused just now.

        Never raises for an authority.
        """
        size, early = self._archive.checkpoint_size(), time.monotonic() < self._next
        if self._url is None or size <= self._archive.stamped_size() or (early and (self._failed or not last)):
            return
        note = self._archive.newest_note()
        assert note is not None
        try:
            response = await asyncio.to_thread(ask, self._url, stamped_text(note))
        except OSError as error:
            self._failed, self._next = True, time.monotonic() + RETRY_SECONDS
            if _PROBLEM not in self._state.problems:
                get_log().warning("no time stamp", authority=self._url, reason=str(error))
            self._state.problems[_PROBLEM] = f"{self._url} does not stamp the checkpoint: {error}"
        else:
            self._failed, self._next = False, time.monotonic() + STAMP_SECONDS
            self._archive.add_timestamp(size, response)
            self._state.problems.pop(_PROBLEM, None)
