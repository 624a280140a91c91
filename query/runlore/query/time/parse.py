"""Texts for moments: a position, an ISO 8601 time, or a phrase such as `2h ago` or `yesterday 18:00`."""

from __future__ import annotations

import datetime as dt
import importlib
import itertools
import re
from typing import Any, NamedTuple

from runlore.schemas.errors import MomentError, RunloreError

_SPAN_AGO = re.compile(r"[^:]*\bago\s*", re.IGNORECASE)
_CLOCK = r"(at\s+)?(\d{1,2}(:\d\d){0,2}\s*([ap]m)?|noon|midnight)"
_CLOCK_ONLY = re.compile(_CLOCK, re.IGNORECASE)
_WEEKDAY = re.compile(rf"(mon|tues?|wed(nes)?|thu(rs)?|fri|sat(ur)?|sun)(day)?(\s+{_CLOCK})?", re.IGNORECASE)
_WEEK = dt.timedelta(days=7)
_NUMBER = re.compile(r"[+-]\d+|[+-]?\d*\.\d+(e[+-]?\d+)?", re.IGNORECASE)
"""A sign or a fraction makes a number no position, and nobody means a time by it."""
_LONGEST = 100
"""Characters of a moment's text: understanding a phrase takes a time that grows fast with it."""
LAST_POSITION = 2**63 - 1
"""Years that SQLite can hold."""
_OPEN = tuple(
    {"DATE_ORDER": order, "PREFER_DAY_OF_MONTH": side, "PREFER_MONTH_OF_YEAR": side}
    for order, side in itertools.product(("DMY", "MDY", "YMD"), ("first", "last"))
)
"""Ways to read what a date leaves open; where they disagree, it is ambiguous."""


class Reading(NamedTuple):
    """A parsed moment."""

    moment: int | dt.datetime
    local: bool
    """True if it named no zone, and the one of this machine was taken."""


def parse_when(text: str, now: dt.datetime | None = None) -> int | dt.datetime:
    """The position or time that a text means: digits are a position, then ISO 8601, then an English phrase.

    A time without a zone is local. `now` (with a zone) is what phrases count from. Raises MomentError for
    what is not understood, may mean several moments, or is a phrase for the future.
    """
    return read_when(text, now).moment


def read_when(text: str, now: dt.datetime | None = None) -> Reading:
    """The same, and whether the zone of this machine was taken for want of another."""
    text = text.strip()
    if text.isascii() and text.isdecimal():
        # Python refuses to read thousands of digits.
        return Reading(bounded_position(int(text) if len(text) <= 100 else LAST_POSITION + 1), False)
    if len(text) > _LONGEST or _NUMBER.fullmatch(text):
        raise _neither(text)
    try:
        moment = dt.datetime.fromisoformat(text)
    except ValueError:
        return _phrase(text, now or dt.datetime.now(dt.UTC))
    return Reading(_zoned(moment, text), moment.tzinfo is None)


def bounded_position(position: int) -> int:
    """The same position, if one can be so. Raises MomentError."""
    if not 0 <= position <= LAST_POSITION:
        raise MomentError(f"an event number is from 0 to {LAST_POSITION}, not {_shown(position)}")
    return position


def _shown(number: int) -> str:
    return str(number) if number.bit_length() <= 128 else "such a long number"


def _neither(text: str) -> MomentError:
    return MomentError(
        f"{text[:80]!r} is no event number or time: write 1234, 2026-03-01T18:00, '2h ago' or 'yesterday 18:00'"
    )


def _phrase(text: str, now: dt.datetime) -> Reading:
    # "2h ago" counts real hours, also over a change of clocks; "yesterday 18:00" is what the clock on the wall said.
    zone = dt.UTC if _SPAN_AGO.fullmatch(text) else None
    base = now.astimezone(zone).replace(tzinfo=None)
    readings = _readings(text, base)
    found = sorted({_zoned(moment, text, zone) for moment in readings})
    if not found:
        raise _neither(text)
    if len(found) > 1:
        raise MomentError(
            f"{text!r} is ambiguous: {' or '.join(each.isoformat() for each in found)}? Write one of them"
        )
    if found[0] > now:
        raise MomentError(f"{text!r} is in the future ({found[0].isoformat()}): the log knows only the past")
    return Reading(found[0], zone is None and readings[0].tzinfo is None)


def _readings(text: str, base: dt.datetime) -> list[dt.datetime]:
    """Every time that a phrase may mean, without a zone where it names none."""
    try:
        dateparser: Any = importlib.import_module("dateparser")
    except ModuleNotFoundError as error:
        raise RunloreError(f"to understand {text!r}: pip install 'runlore[query]', or write an ISO time") from error

    def read(parser: str, **choices: str) -> list[dt.datetime]:
        settings = {"RELATIVE_BASE": base, "PREFER_DATES_FROM": "past", "PARSERS": [parser], **choices}
        moment: dt.datetime | None = dateparser.parse(text, languages=["en"], settings=settings)
        return [] if moment is None else [moment]

    if relative := read("relative-time"):
        return relative
    if _CLOCK_ONLY.fullmatch(text):
        return read("absolute-time")
    found = [moment for choices in _OPEN for moment in read("absolute-time", **choices)]
    if _WEEKDAY.fullmatch(text):
        # Said on a Tuesday, "tuesday 10:00" may be today's or last week's.
        found += [moment + _WEEK for moment in found if moment.tzinfo is None and moment + _WEEK <= base]
    return found


def _zoned(moment: dt.datetime, text: str, zone: dt.tzinfo | None = None) -> dt.datetime:
    """The moment with a zone: its own, else the one given, else the local one."""
    if moment.tzinfo is not None:
        return moment
    if zone is not None:
        return moment.replace(tzinfo=zone).astimezone()
    try:
        early, late = (moment.replace(fold=fold).astimezone() for fold in (0, 1))
    except (OverflowError, ValueError, OSError) as error:  # at the ends of what a datetime can be
        raise MomentError(f"{text!r} is beyond the times this machine can reckon with") from error
    if early != late:
        raise MomentError(
            f"{text!r} is ambiguous: the clocks were changed then. Write {early.isoformat()} or {late.isoformat()}"
        )
    return early
