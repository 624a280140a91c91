"""Selections: which content of events is to be erased or kept."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import NamedTuple

from runlore.schemas.errors import ArgumentError
from runlore.schemas.paths import PathParts, format_path
from runlore.schemas.redaction import TEXTS, VALUES

WHAT = {
    "metadata": ("metadata",),
    "parameters": ("parameters",),
    "environment": ("environment",),
    "notes": ("text",),
    "reasons": ("reason",),
    "errors": ("error_message",),
}
"""Kinds of content as users name them, and the fields of facts."""


class Selection(NamedTuple):
    """Content of events: whole fields of their facts, and values by key."""

    fields: frozenset[str] = frozenset()
    keys: tuple[PathParts, ...] = ()
    """Paths of metadata, and ``parameters.<name>`` and ``environment.<name>``; what is below is meant, too."""
    patterns: tuple[str, ...] = ()
    """The same with ``*`` and ``?`` in it."""

    @classmethod
    def of(cls, what: Iterable[str], keys: Iterable[PathParts] = (), patterns: Iterable[str] = ()) -> Selection:
        """A selection of kinds of content by their names, or ``everything``; all metadata where nothing is given."""
        named, keys, patterns = list(what), tuple(keys), tuple(patterns)
        if "everything" in named:
            return EVERYTHING
        unknown = [name for name in named if name not in WHAT]
        if unknown:
            known = ", ".join((*WHAT, "everything"))
            raise ArgumentError(f"no kind of content: {', '.join(unknown)}; there are {known}")
        if not named and not keys and not patterns:
            named = ["metadata"]
        return cls(frozenset(field for name in named for field in WHAT[name]), keys, patterns)

    @property
    def everything(self) -> bool:
        """True if it is all content of an event."""
        return self.fields >= _ALL

    def has(self, path: PathParts) -> bool:
        """Return whether it means the content at a path of a fact."""
        field = path[0]
        if field in self.fields:
            return True
        if field not in VALUES:
            return False
        parts = path[1:] if field == "metadata" else path
        return any(_below(parts, key) for key in self.keys) or any(_fits(parts, one) for one in self.patterns)


_ALL = frozenset((*VALUES, *TEXTS))
EVERYTHING = Selection(_ALL)


def _below(parts: PathParts, key: PathParts) -> bool:
    if parts[: len(key)] == key or parts[0] == ".".join(key):  # a key that holds dots, such as train.loss
        return True
    return parts[0] == key[0] in VALUES and parts[1:2] == (".".join(key[1:]),)


def _fits(parts: PathParts, pattern: str) -> bool:
    return any(fnmatchcase(format_path(parts[:count]), pattern) for count in range(1, len(parts) + 1))
