"""ISO 8601 times as they are logged and as filters write them."""

from __future__ import annotations

import datetime as dt
import functools
import re
from typing import NamedTuple

from runlore.query.time.moment import EPOCH
from runlore.schemas.extensions import read_datetime

_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[T ].*)?\Z")
_MICROSECOND = dt.timedelta(microseconds=1)


class IsoTime(NamedTuple):
    """A time, in microseconds since 1970; `zoned`: whether its text named a zone. If not, UTC is meant."""

    micros: int
    zoned: bool


def iso_micros(text: str) -> int | None:
    """Microseconds since 1970 of an ISO 8601 date or time, None for any other text; without a zone it is UTC."""
    found = iso_time(text)
    return None if found is None else found.micros


@functools.lru_cache(1000)
def iso_time(text: str) -> IsoTime | None:
    """The time an ISO 8601 text says, None when it is none."""
    if not _ISO.match(text):
        return None
    try:
        moment = read_datetime(text)
    except ValueError:
        return None
    zoned = moment.tzinfo is not None
    if not zoned:
        moment = moment.replace(tzinfo=dt.UTC)
    return IsoTime((moment - EPOCH) // _MICROSECOND, zoned)
