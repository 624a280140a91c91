"""What a relay says to a person: each thing once, and not what passes by itself in a moment."""

from __future__ import annotations

import logging
import time

from runlore.producer.sending.acks import DeliveryError

NO_STREAM_SECONDS = 5.0
"""A server without a stream for this long is told to a person: a cluster that lost a leader has none for a moment."""
FIRST_NO_STREAM_SECONDS = 1.0
"""The same where there has been none yet."""
MOST_WARNINGS = 100

logger = logging.getLogger("runlore")


class Warnings:
    """The warnings of one relay. `waiting` ends those about events that cannot be sent now."""

    def __init__(self, waiting: str) -> None:
        self._waiting = waiting
        self._told: set[str] = set()
        self._no_stream_since: float | None = None
        self._known = False

    def stream_known(self) -> None:
        """The server has told its stream."""
        self._no_stream_since, self._known = None, True

    def refused(self, error: DeliveryError) -> None:
        """An attempt to send has failed."""
        if not error.no_stream:
            self._no_stream_since = None
        elif self._no_stream_since is None:
            self._no_stream_since = time.monotonic()
        since, most = self._no_stream_since, NO_STREAM_SECONDS if self._known else FIRST_NO_STREAM_SECONDS
        if error.worth_telling or (since is not None and time.monotonic() - since > most):
            self.say_waiting(error)

    def say_waiting(self, error: Exception) -> None:
        """Say why events wait."""
        self.say(f"{error}. {self._waiting}")

    def say(self, text: str) -> None:
        """Say it if it was not said before."""
        if text not in self._told and len(self._told) < MOST_WARNINGS:
            self._told.add(text)
            logger.warning("runlore: %s", text)
