"""References to the entities that metadata is about, as a struct and as text.

    artifact:processed_data@3      a version        model:churn@production    a stage
    model:churn                    the latest       run:<run id>              a run
    step:<run id>/train_model      a step of a run  dataset:eval@2            any other kind

In text, ``%``, ``@``, and in a step's run also ``/``, are percent-encoded, so every name has
exactly one text form.
"""

from __future__ import annotations

import re
from functools import lru_cache
from urllib.parse import quote, unquote

import msgspec

from runlore.schemas.errors import InvalidReferenceError
from runlore.schemas.limits import MAX_STEP_BYTES
from runlore.schemas.names import check_name, check_version, exact_text

RESERVED_STAGES = frozenset({"none", "staging", "production", "archived"})
"""Names that are stages even before a version holds them; never created as versions."""

UNVERSIONED_KINDS = ("run", "step", "pipeline")
"""Kinds whose entities have no versions. All others have names with versions."""

_KIND = re.compile(r"[a-z][a-z0-9_]{0,39}\Z")


class EntityRef(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """The subject of an event. `version` may be a selector (``latest`` or a stage name).

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
    if type(text) is str:
        return _parsed(text)
    if isinstance(text, EntityRef):
        return checked(text)
    plain = exact_text(text)
    if type(plain) is not str:
        raise InvalidReferenceError(f"a reference is text such as 'model:churn@3', not {type(text).__name__}")
    return _parsed(plain)


@lru_cache(maxsize=1024)
def _parsed(text: str) -> EntityRef:
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
    """The reference with exact texts, if its parts can be stored. Raises InvalidReferenceError."""
    kind = exact_text(ref.kind)
    if type(kind) is not str or not _KIND.match(kind):
        raise InvalidReferenceError(f"kind {_cut(kind)!r}: use lower-case letters, digits and _, at most 40")
    if kind == "step":
        exact = _checked_step(ref)
    else:
        version = None if ref.version is None else check_version(ref.version)
        exact = EntityRef(kind, check_name("name", ref.name), version)
    if exact.version is not None and kind in UNVERSIONED_KINDS:
        raise InvalidReferenceError(f"a {kind} has no version: {exact.version!r}")
    return exact


def _checked_step(ref: EntityRef) -> EntityRef:
    name = check_name("name", ref.name, MAX_STEP_BYTES)
    run, pipeline = _unless_empty("run", ref.run), _unless_empty("pipeline", ref.pipeline)
    if run is None and pipeline is None:
        raise InvalidReferenceError(f"step {name!r} needs a run: 'step:<run id>/{name}'")
    version = None if ref.version is None else check_version(ref.version)  # refused by the caller
    return EntityRef("step", name, version, run, pipeline)


def _unless_empty(what: str, name: str | None) -> str | None:
    # Not by its truth: pandas.NA has none.
    return None if name is None or (isinstance(name, str) and not name) else check_name(what, name)  # pyright: ignore[reportUnnecessaryIsInstance]


def _cut(kind: object) -> object:
    return kind[:40] if isinstance(kind, str) else type(kind).__name__


def checked_ref(kind: str, name: str, version: str | int | None = None) -> EntityRef:
    """A reference whose parts can be stored; the same ones come again and again. Raises InvalidReferenceError."""
    if type(name) is str and (version is None or type(version) is str):
        return _known(kind, name, version)
    return checked(EntityRef(kind, name, version))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType] -- becomes text here


@lru_cache(maxsize=1024)
def _known(kind: str, name: str, version: str | None) -> EntityRef:
    return checked(EntityRef(kind, name, version))


def check_stage(stage: str) -> str:
    """The stage as exact text, if `model:name@stage` can mean it. Raises InvalidReferenceError."""
    text = check_name("stage", stage)
    if text == "latest" or (text.isascii() and text.isdecimal()):
        raise InvalidReferenceError(f"{text!r} is no stage: as a version it has a meaning of its own")
    return text
