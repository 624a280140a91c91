"""Values as pages show them: text, exact form on hover, link, folded text or tree. Templates add only markup."""

from __future__ import annotations

import datetime as dt
import decimal
import math
from collections.abc import Iterable
from typing import Any, cast

import msgspec

from runlore.dashboard.links import address, linkable
from runlore.dashboard.texts import FOLDED, PREVIEW, counted, shortened
from runlore.query import Entry
from runlore.query.view.budget import Unread
from runlore.schemas.special import DType, Erased, Path, StorageSize, Uri
from runlore.schemas.visible import visible
from runlore.store.cells import readable

MAX_ITEMS = 200
"""Maximum number of elements of a collection on a page; the JSON has all of them."""
SHORT_LIST = 6
MAX_DEPTH = 8


class Shown(msgspec.Struct, frozen=True, kw_only=True):
    """One value, ready to be shown."""

    css: str
    text: str
    title: str | None = None
    """The exact value, for hovering."""
    href: str | None = None
    time: str | None = None
    """ISO 8601, where the page may show local time."""
    full: str | None = None
    """The full text of a value that is folded."""
    items: tuple[tuple[str, Shown], ...] = ()
    """Labelled parts of a tree."""
    more: int = 0
    """Number of elements or characters left out."""


def show(value: Any, depth: int = 0) -> Shown:
    """Return how to show a value of any metadata type."""
    match value:
        case None:
            return Shown(css="none", text="none")
        case bool():
            return Shown(css="bool", text="true" if value else "false")
        case StorageSize():
            return Shown(css="number", text=value.human(), title=f"{_exact(value)} bytes")
        case int():
            return _integer(value)
        case float():
            return _float(value)
        case str():
            return _text(value)
        case dt.datetime():
            return _datetime(value)
        case dt.timedelta():
            return Shown(css="number", text=duration(value.total_seconds()), title=str(value))
        case bytes():
            return Shown(css="code", text=shortened(value[:PREVIEW].hex()), title=f"{len(value):,} bytes")
        case Unread():
            return unread(value)
        case dict():
            known = cast("dict[str, Any]", value)
            return _tree(known.items(), len(known), "keys", depth)
        case list() | tuple() | set() | frozenset():
            return _collection(cast("list[Any]", value), depth)
        case decimal.Decimal():
            return Shown(css="number", text=shortened(str(value)))
        case _:
            return Shown(css="plain", text=shortened(readable(value)))


def unread(value: Unread, href: str | None = None) -> Shown:
    """Return a value that the page does not decode: its type and size, with a link to where it is whole."""
    return Shown(css="plain", text=str(value), title="the JSON of the key has it", href=href)


def show_entry(entry: Entry) -> Shown:
    """Return how to show the value of an entry."""
    if isinstance(entry.value, Unread):
        return unread(entry.value, address("/payload", {}, {"position": entry.position}))
    return show(entry.value)


def number_text(value: float) -> str:
    """Return a number in about 12 characters: all digits before the point below 1e15, and whole only if it is."""
    exact = repr(value)
    if len(exact) <= 12:
        return exact
    text = f"{value:.6g}"
    if "e" in text and 1 <= abs(value) < 1e15:
        text = f"{value:.{max(1, 12 - len(str(int(abs(value)))))}f}".rstrip("0").rstrip(".")
    return text if "." in text or "e" in text or value.is_integer() else exact


def duration(seconds: float | None) -> str:
    """Return a duration as text: 850 ms, 12.5 s, 3 min 20 s, 2 h 5 min, 3 d 4 h; '' for None."""
    if seconds is None:
        return ""
    if seconds < 0:
        return f"−{duration(-seconds)}"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms" if seconds >= 0.001 or not seconds else f"{seconds * 1e6:.0f} µs"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours < 48 else f"{hours // 24:,} d {hours % 24} h"


def _exact(value: int) -> str:
    """Return digits with thousands separators, or without them for more digits than Python prints."""
    return f"{value:,}" if value.bit_length() <= 10_000 else f"{readable(int(value))[:FOLDED]}…"


def _integer(value: int) -> Shown:
    exact = readable(value)
    if len(exact) > 40:
        return Shown(css="number", text=exact[:20] + "…", title=f"{len(exact):,} digits", full=exact[:FOLDED])
    return Shown(css="number", text=exact, title=f"{value:,}" if abs(value) >= 10_000 else None)


def _float(value: float) -> Shown:
    if not math.isfinite(value):
        return Shown(css="mark", text="NaN" if value != value else ("∞" if value > 0 else "−∞"), title=repr(value))
    return Shown(css="number", text=number_text(value), title=repr(value))


def _text(value: str) -> Shown:
    if isinstance(value, Erased):
        return Shown(css="mark", text="erased", title=shortened(visible(value), PREVIEW))
    css = "uri" if isinstance(value, Uri) else "code" if isinstance(value, (Path, DType)) else "text"
    href = str(value) if isinstance(value, Uri) and linkable(value) else None
    if len(value) <= PREVIEW and "\n" not in value:
        return Shown(css=css, text=visible(value) or "empty text", href=href)
    full = visible(value[:FOLDED], lines=True)
    return Shown(css=css, text=shortened(value, 90), href=href, full=full, more=max(0, len(value) - FOLDED))


def _datetime(value: dt.datetime) -> Shown:
    if value.tzinfo is None:
        return Shown(css="plain", text=value.isoformat(" "), title="logged without a time zone")
    try:
        there = value.astimezone(dt.UTC)
    except OverflowError:
        return Shown(css="plain", text=value.isoformat(" "), title="outside the years 1 to 9999 in UTC")
    return Shown(css="time", text=f"{there:%Y-%m-%d %H:%M:%S} UTC", title=value.isoformat(), time=there.isoformat())


def _collection(value: Any, depth: int) -> Shown:
    size, name = len(value), str(type(value).__name__)
    if size <= SHORT_LIST and all(not isinstance(item, (list, dict, tuple, set, frozenset)) for item in value):
        text = readable(value)
        if len(text) <= 80:
            return Shown(css="plain", text=visible(text), title=name)
    unordered = isinstance(value, (set, frozenset))
    ordered = sorted(cast("set[Any]", value), key=readable) if unordered else cast("list[Any]", value)
    return _tree(((str(place), item) for place, item in enumerate(ordered)), size, name, depth)


def _tree(items: Iterable[tuple[str, Any]], size: int, unit: str, depth: int) -> Shown:
    if not size:
        return Shown(css="none", text=f"empty {'dict' if unit == 'keys' else unit}")
    text = counted(size, "key") if unit == "keys" else f"{unit} of {size:,}"
    if depth >= MAX_DEPTH:
        return Shown(css="tree", text=text, more=size)
    shown = tuple(
        (shortened(label, 80), show(item, depth + 1)) for label, item in _first(items, MAX_ITEMS if not depth else 50)
    )
    return Shown(css="tree", text=text, items=shown, more=size - len(shown))


def _first(items: Iterable[tuple[str, Any]], limit: int) -> Iterable[tuple[str, Any]]:
    return (pair for _, pair in zip(range(limit), items, strict=False))
