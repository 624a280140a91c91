"""References: what metadata is about, as a struct and as text.

    artifact:processed_data@3      a version        model:churn@production    a stage
    model:churn                    the latest       run:<run id>              a run
    step:<run id>/train_model      a step of a run  dataset:eval@2            any other kind

In text, ``%``, ``@``, and in a step's run also ``/``, are percent-encoded, so every name has
exactly one text form.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any
from urllib.parse import quote, unquote

import msgspec

from runlore.schemas.errors import InvalidReferenceError

MAX_NAME_BYTES = 200
"""UTF-8 bytes of one name, version or run ID: subjects stay far below NATS's 4,096-byte line."""

RESERVED_STAGES = frozenset({"none", "staging", "production", "archived"})
"""Names that are stages even before a version holds them; never made into versions."""

UNVERSIONED_KINDS = ("run", "step", "pipeline")
"""Kinds whose entities have no versions. All others have names with versions."""

_KIND = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")


class EntityRef(msgspec.Struct, frozen=True, omit_defaults=True):
    """What an event is about. `version` may be a selector (``latest`` or a stage name).

    A step names its `run`, or the `pipeline` (name, run ID or its prefix) whose last run is meant.
    """

    kind: str
    name: str
    version: str | None = None
    run: str | None = None
    pipeline: str | None = None

    def __str__(self) -> str:
        if self.kind == "step":
            return f"step:{_quote(self.run or '', '%@/')}/{_quote(self.name, '%@')}"
        version = "" if self.version is None else f"@{_quote(self.version, '%@')}"
        return f"{self.kind}:{_quote(self.name, '%@')}{version}"


def _quote(text: str, reserved: str) -> str:
    # Only what would be read as a separator is encoded ("%" first); other characters stay readable.
    for char in reserved:
        text = text.replace(char, quote(char, safe=""))
    return text


def parse_ref(text: str | EntityRef) -> EntityRef:
    """The reference that a text stands for.

    Raises InvalidReferenceError saying which part is wrong.
    """
    if isinstance(text, EntityRef):
        return checked(text)
    if not isinstance(text, str):  # pyright: ignore[reportUnnecessaryIsInstance] -- callers are untyped
        raise InvalidReferenceError(f"a reference is text such as 'model:churn@3', not {type(text).__name__}")
    kind, colon, rest = text.partition(":")
    if not colon:
        raise InvalidReferenceError(f"{text!r} has no kind: write for example 'artifact:{text}'")
    if kind == "step":
        run, slash, name = rest.partition("/")
        if not slash:
            raise InvalidReferenceError(f"{text!r}: a step is written 'step:<run id>/<step name>'")
        return checked(EntityRef("step", unquote(name), run=unquote(run)))
    name, at, version = rest.partition("@")
    return checked(EntityRef(kind, unquote(name), unquote(version) if at else None))


def checked(ref: EntityRef) -> EntityRef:
    """The same reference, if its parts can be stored. Raises InvalidReferenceError."""
    if not _KIND.match(ref.kind):
        raise InvalidReferenceError(f"kind {ref.kind!r}: use lower-case letters, digits and _, at most 40")
    check_name("name", ref.name)
    if ref.version is not None:
        check_name("version", ref.version)
    if ref.kind in UNVERSIONED_KINDS and ref.version is not None:
        raise InvalidReferenceError(f"a {ref.kind} has no version: {ref.version!r}")
    if ref.kind == "step":
        if not (ref.run or ref.pipeline):
            raise InvalidReferenceError(f"step {ref.name!r} needs a run: 'step:<run id>/{ref.name}'")
        check_name("run", ref.run or ref.pipeline)
    return ref


def checked_ref(kind: str, name: str, version: str | None = None) -> EntityRef:
    """A reference whose parts can be stored; the same ones come again and again. Raises InvalidReferenceError."""
    if type(name) is str:
        return _known(kind, name, version)
    return checked(EntityRef(kind, name, version))  # anything else may not even have a hash


@lru_cache(maxsize=1024)
def _known(kind: str, name: str, version: str | None) -> EntityRef:
    return checked(EntityRef(kind, name, version))


def check_name(what: str, name: Any) -> str:
    """`name` itself, if it can be stored as a name. Raises InvalidReferenceError."""
    if not isinstance(name, str) or not name:
        raise InvalidReferenceError(f"{what} must be a non-empty string, not {name!r}")
    try:
        size = len(name) if name.isascii() else len(name.encode())
    except UnicodeEncodeError:
        raise InvalidReferenceError(f"{what} {name!r} is not valid Unicode") from None
    if size > MAX_NAME_BYTES:
        raise InvalidReferenceError(f"{what} of {size} bytes; at most {MAX_NAME_BYTES} are allowed")
    if not name.isprintable() and any(ord(char) < 32 or ord(char) == 127 for char in name):
        raise InvalidReferenceError(f"{what} {name!r} holds control characters")
    return name
