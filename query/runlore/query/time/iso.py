"""ISO 8601 times as they are logged and as filters write them."""

from __future__ import annotations

import datetime as dt
import functools
import re

from runlore.query.time.moment import EPOCH
from runlore.schemas.values import read_datetime

_ISO = re.compile(r"\d{4}-\d\d-\d\d(?:[T ].*)?\Z")
_MICROSECOND = dt.timedelta(microseconds=1)


@functools.lru_cache(1000)
def iso_micros(text: str) -> int | None:
    """Microseconds since 1970 of an ISO 8601 date or time, None for any other text; without a zone it is UTC."""
    if not _ISO.match(text):
        return None
    try:
        moment = read_datetime(text)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=dt.UTC)
    return (moment - EPOCH) // _MICROSECOND
