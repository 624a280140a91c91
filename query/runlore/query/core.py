"""What every part of a client stands on: the view it reads, the project, and the moment it reads as of."""

from __future__ import annotations

import datetime as dt
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

from runlore.query.moments import (
    NO_END,
    NOW,
    AsOf,
    Clock,
    Moment,
    Range,
    as_time,
    asked_moment,
    asked_position,
    check_clock,
    check_limit,
    last_recorded,
    position_at,
    utc,
)
from runlore.query.reader import ViewReader
from runlore.schemas.errors import MomentError, SettingsError
from runlore.schemas.layout import ProjectorStatus, read_struct
from runlore.schemas.settings import read_settings, user_path

STATUS_SECONDS = 10.0
"""A projector's word older than this counts as none."""


class ClientCore:
    """The view, the project and the moment; see `Client`."""

    def __init__(
        self,
        data_dir_or_url: str | Path | None = None,
        project: str | None = None,
        as_of: AsOf | None = None,
        clock: Clock = "recorded",
    ) -> None:
        # A folder that is given says where to read: then RUNLORE_DATA_DIR need make no sense.
        where = None if data_dir_or_url is None else _path(data_dir_or_url)
        settings = read_settings(project=project, data_dir=where)
        self.project = settings.project
        self.clock: Clock = check_clock(clock)
        self.reader = ViewReader(settings.data_dir)
        self.moment: Moment = NOW
        """What is read may know no more than this."""
        if as_of is not None:
            self.moment = self.moment_of(as_of)

    # -- where the log stands ------------------------------------------------------------------------

    @property
    def position(self) -> int:
        """Everything up to this position of the log can be read; with `as_of`, that position."""
        return min(int(self._state()[0]), self.moment.position)

    def _state(self) -> tuple[Any, ...]:
        row = self.reader.one("SELECT position, recorded_us FROM view_state")
        assert row is not None
        return row

    @property
    def recorded_at(self) -> dt.datetime:
        """The log's clock at the last folded event, UTC."""
        return utc(self._state()[1])

    @property
    def lag(self) -> int | None:
        """Events on the stream that cannot be read yet; None when no projector says how far the stream is."""
        if self.reader.data is None:
            return None
        status = read_struct(self.reader.data.status, ProjectorStatus)
        if status is None or time.time() - status.updated > STATUS_SECONDS:
            return None
        return max(0, status.stream_last - int(self._state()[0]))

    # -- moments -------------------------------------------------------------------------------------

    def position_at(self, when: AsOf) -> int:
        """The last position recorded at or before a time; a position stands for itself.

        Raises MomentError (a ValueError) for a datetime without a time zone, or a text that is not understood.
        """
        return position_at(self.reader, when)

    def moment_of(self, when: AsOf, clock: Clock | None = None, within: Moment | None = None) -> Moment:
        """What may be seen as of a position or time, by this client's clock unless another is given.

        By the producers' clocks that is what they say had happened by then, out of what was known `within`
        another moment (default: the client's). Raises MomentError for a position by the producers' clocks.
        """
        if check_clock(clock or self.clock) == "recorded":
            return Moment(self.position_at(when))
        asked = asked_moment(when)
        if isinstance(asked, int):
            raise MomentError(f"position {asked} says nothing about the producers' clocks: give a time")
        return Moment((within or self.moment).position, as_time(asked))

    def range_of(
        self,
        limit: int | None = None,
        since: AsOf | None = None,
        until: AsOf | None = None,
        after: int | None = None,
        before: int | None = None,
    ) -> Range:
        """The entries between two positions or times (both included), and between two positions (excluded).

        With `after`, `limit` keeps the oldest, which is the next page; else the newest.
        """
        if limit is not None:
            check_limit(limit)
        after = None if after is None else asked_position(after)
        before = None if before is None else asked_position(before)
        first, early = self._bound(since, start=True)
        last, late = self._bound(until, start=False)
        return Range(
            first if after is None else max(first, min(after + 1, NO_END)),
            last if before is None else min(last, before - 1),
            limit,
            after is not None,
            None if early is late is None else (-NO_END if early is None else early, NO_END if late is None else late),
        )

    def _bound(self, when: AsOf | None, start: bool) -> tuple[int, int | None]:
        """The position, and by the producers' clocks the microsecond, where a range starts or ends."""
        asked = None if when is None else asked_moment(when)
        open_end = 0 if start else NO_END
        if not isinstance(asked, dt.datetime):
            return open_end if asked is None else asked, None
        if self.clock == "occurred":
            return open_end, as_time(asked)
        if start:
            return last_recorded(self.reader, as_time(asked) - 1) + 1, None
        return last_recorded(self.reader, as_time(asked)), None

    def close(self) -> None:
        """Close all connections; the client can be used again."""
        self.reader.close()


def _path(data_dir_or_url: str | Path) -> Path:
    text = str(data_dir_or_url)
    if "://" not in text:
        try:
            return user_path(text)
        except ValueError as error:
            raise SettingsError(f"{text!r}: {error}") from error
    parts = urlsplit(text)
    if parts.scheme != "file":
        raise SettingsError(
            f"{text!r}: a client reads a data folder, a view file or a file:// URL on this machine. "
            "Copy the view here, or run the client where the projector runs"
        )
    return Path(unquote(parts.path))
