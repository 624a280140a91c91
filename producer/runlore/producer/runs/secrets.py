# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownMemberType=false
# The values are whatever callers pass: their static types are unknown by nature.
"""Secrets in names, values and texts: found before anything is recorded, because the log never forgets.

A name says it (`password`, `api_key`, `auth` …), or the value does: addresses with a password, bearer and basic
authorization, keys of known services, JSON web tokens, PEM blocks, ``password=…`` in a connection string. Under names
such as `header`, `session` or `key` a long random text is one, too. Commit hashes and plain words are none.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from runlore.producer.runs.secret_names import is_secret_name, may_hold_secret

REDACTED = "[redacted]"

_JOINTS = re.compile(r"[-_.+/=]")
_RUN = re.compile(r"[A-Za-z0-9]{16,}")
_DIGITS_IN = re.compile(r"\d")


def redact_text(text: str) -> str:
    """The text with each secret that can be told from its form or the name before it replaced by `REDACTED`."""
    from runlore.producer.runs.secret_text import (
        redact_known,  # its patterns take a while to compile: who needs them pays
    )

    return redact_known(text, is_secret_name, REDACTED)


def redact(value: Any, name: str = "") -> Any:
    """The value with its secrets replaced: the same object where it has none.

    Dicts, lists, tuples and sets are searched, keys included. `name`: what the value is called.
    """
    return _redact(value, may_hold_secret(name))


def _redact(value: Any, guarded: bool) -> Any:
    match value:
        case str():
            return _redact_text_value(value, guarded)
        case bytes():
            text = value.decode("latin-1")
            return value if _redact_text_value(text, guarded) is text else REDACTED.encode()
        case dict():
            return _redact_dict(value, guarded)
        case list() | tuple():
            items = _redact_items(list(value), guarded)
            return _unless_same(value, items, tuple if isinstance(value, tuple) else list)
        case set() | frozenset():
            members = list(value)
            items = [_redact(item, guarded) for item in members]
            return value if _same(members, items) else type(value)(items)
        case _:
            return value


def _redact_text_value(text: str, guarded: bool) -> str:
    if guarded and _is_random(text):
        return REDACTED
    found = redact_text(text)
    return text if found == text else found


def _redact_dict(group: dict[Any, Any], guarded: bool) -> dict[Any, Any]:
    cleaned = {_redact(key, guarded): _redact_item(key, item, guarded) for key, item in group.items()}
    if _same(list(group), list(cleaned)) and _same(list(group.values()), list(cleaned.values())):
        return group
    return cleaned


def _redact_item(key: Any, item: Any, guarded: bool) -> Any:
    if not isinstance(key, str):
        return _redact(item, guarded)
    if item is not None and is_secret_name(key):
        return REDACTED
    return _redact(item, guarded or may_hold_secret(key))


def _redact_items(items: list[Any], guarded: bool) -> list[Any]:
    """The items; one after a flag (``--password``), or after a name in a pair, goes by that name."""
    names = ["", *(_flag(item, len(items) == 2) for item in items)]
    return [_redact_item(name, item, guarded) if name else _redact(item, guarded) for name, item in zip(names, items)]  # noqa: B905 -- the last item names nothing


def _flag(item: Any, is_pair: bool) -> str:
    if not isinstance(item, str) or len(item) > 80 or not (is_pair or item.startswith("-")):
        return ""
    return item if re.fullmatch(r"-{0,2}[^\W\d][\w.-]*", item) else ""


def _unless_same(value: Any, items: list[Any], kind: Callable[[list[Any]], Any]) -> Any:
    return value if _same(list(value), items) else kind(items)


def _same(before: list[Any], after: list[Any]) -> bool:
    return len(before) == len(after) and all(one is other for one, other in zip(before, after, strict=True))


def _is_random(text: str) -> bool:
    """Return whether a long text looks random: letters of both cases and digits alternate more often than in words."""
    if len(text) > 10_000:
        return False
    return any(_changes_often(run) for part in text.split() for run in _RUN.findall(_JOINTS.sub("", part)))


def _changes_often(run: str) -> bool:
    kinds = ["d" if char.isdigit() else "u" if char.isupper() else "l" for char in run]
    changes = sum(one != other for one, other in pairwise(kinds))
    return changes / len(run) >= (0.25 if _DIGITS_IN.search(run) and not run.isdigit() else 0.45)
