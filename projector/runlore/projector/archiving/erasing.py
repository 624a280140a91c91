"""Erasures on their way from the log to its rows.

A command leaves the signed erasure in the data folder, and the projector sends it as it sends statements about keys. It
is executed when it is in log.db, on every archive of the stream alike, if the key that signs this log has signed it.
"""

from __future__ import annotations

from collections.abc import Sequence

from runlore.projector.archiving.archive import Archive
from runlore.projector.audit.key_history import TrustedRange, is_signed, read_changes, spread
from runlore.projector.audit.keys import Verifier
from runlore.projector.logs import get_log
from runlore.schemas.errors import CorruptLogError, EventDecodeError
from runlore.store.audit.erasure import ErasureReader, LoggedErasure
from runlore.store.audit.tree import leaf_index


class Erasing:
    """The erasures of one log, in the thread of its one writer."""

    def __init__(self, archive: Archive) -> None:
        self._archive = archive
        self._reader = ErasureReader()
        self._looked = -1
        """Position of the log when it was last looked through."""
        self._leftover = True
        """Erased bytes may still lie in the write-ahead log."""

    def execute(self, own: Verifier) -> bool:
        """Redact what new erasures name; return whether there was anything. `own`: the key that signs this log."""
        changed, connection = False, self._archive.connection
        if self._archive.position == self._looked and not self._leftover:
            return False
        self._looked = self._archive.position
        for logged in self._reader.more(connection):
            changed |= self._execute(logged, spread([own], read_changes(connection)))
        self._leftover |= changed
        if self._leftover:
            self._archive.checkpoint()
            self._leftover = self._archive.wal_bytes() > 0
        return changed

    def _execute(self, logged: LoggedErasure, keys: Sequence[TrustedRange]) -> bool:
        if not is_signed(logged, leaf_index(self._archive.connection, logged.position), keys):
            get_log().error("an erasure is not executed: no key of this log has signed it", position=logged.position)
            return False
        try:
            count = self._archive.redact(logged.position, logged.erasure)
        except (CorruptLogError, EventDecodeError) as error:
            get_log().error("an erasure is not executed", position=logged.position, reason=str(error))
            return False
        if count:
            get_log().warning("values were erased", position=logged.position, events=count)
        return count > 0
