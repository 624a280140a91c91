"""Selections of a watch: entities by reference, kind or filter, and leaves by path."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, Protocol

import msgspec

from runlore.query.entity import Entity
from runlore.query.find import ast
from runlore.query.find.checks import entity_field
from runlore.query.find.parse import parse
from runlore.query.find.snapshot import DICT_FIELDS
from runlore.query.find.statement import Search
from runlore.query.lookup import run_of
from runlore.query.scope import Scope
from runlore.query.time.moment import AsOf
from runlore.query.view.connection import ViewReader
from runlore.query.view.leaves import step_keys
from runlore.schemas.errors import ArgumentError, NotFoundError
from runlore.schemas.paths import PathParts, parse_path
from runlore.schemas.references import EntityRef, parse_ref
from runlore.store import stretches
from runlore.store.cells import ENDED
from runlore.store.kinds import is_instance

LAST = 2**63 - 1
_REFERENCE = re.compile(r"[a-z][a-z0-9_]{0,39}:(?!:)")  # `train::loss` begins a filter


class Place(NamedTuple):
    """The place of a watch: after one entry of one event. Opaque but for `position`."""

    position: int
    entity: int = LAST
    path: int = LAST


Since = AsOf | tuple[int, int, int]
"""A position or time (all up to it was seen), or the `place` of the last change that was seen."""


class Matcher(Protocol):
    """True if an entity fits a filter, as the log knew it at a position. Called inside a read transaction."""

    def __call__(self, entity: Entity, as_of: int) -> bool: ...


class Filtered(NamedTuple):
    """A filter as a watch needs it: the leaves, keys and fields it mentions, and what it holds for."""

    paths: tuple[PathParts, ...]
    fields: tuple[PathParts, ...]
    """Fields that hold a dict that the filter looks into, such as a run's parameters."""
    matches: Matcher


def compile_filter(scope: Scope, text: str) -> Filtered:
    """The filter of a text: a watch yields the changes of `paths`, on entities that match right then.

    One that mentions only what an entity is (name, version, created …) has no paths. Raises FilterError.
    """
    expression = parse(text)
    if expression is None:
        raise ArgumentError("an empty text is neither a reference nor a filter")

    def matches(entity: Entity, as_of: int) -> bool:
        search = Search(scope, entity.kind, expression, as_of)
        only = f" AND e.entity_id = {search.bind(entity.entity_id)}"
        return bool(search.by_creation("entities e", newest_first=True, after=None, limit=1, more=only))

    keys = [key for key in ast.keys_of(expression) if entity_field(key) is None]
    dotted = [(".".join(key.parts),) for key in keys if len(key.parts) > 1 and not key.quoted]
    inside = {key.parts[:1] for key in keys if len(key.parts) > 1 and not key.quoted and key.parts[0] in DICT_FIELDS}
    return Filtered((*(key.parts for key in keys), *dotted), tuple(sorted(inside)), matches)


class Selection(msgspec.Struct, frozen=True):
    """Selects the changes of a watch. None: any."""

    project: str
    kind: str | None = None
    ref: EntityRef | None = None
    key: tuple[PathParts, ...] | None = None
    """Paths at or below which a leaf is wanted."""
    mentioned: tuple[PathParts, ...] | None = None
    """The same, as the filter mentions them."""
    fields: tuple[PathParts, ...] = ()
    """Paths that the filter looks into: such a leaf is wanted, too, what lies below is not."""
    matches: Matcher | None = None

    def conditions(self) -> tuple[str, dict[str, Any]]:
        """SQL on the entity `e`, and its values: a superset of what `accepts`."""
        found, values = ["e.project = :project"], {"project": self.project, "kind": self.kind}
        found.append(is_instance("e."))
        if self.kind is not None:
            found.append("e.kind = :kind")
        if self.ref is not None:
            values |= {"ref_kind": self.ref.kind, "name": self.ref.name, "run": self.ref.run or ""}
            itself = "e.kind = :ref_kind AND e.name = :name AND e.run = :run"
            steps = " OR e.kind = 'step' AND e.run = :name" if self.ref.kind == "run" else ""
            found.append(f"({itself}{steps})")
        return " AND ".join(found), values

    def path_ids(self, reader: ViewReader) -> list[int] | None:
        """The IDs of all paths that may be wanted, None for any."""
        wanted = [*(self.key or ()), *(self.mentioned or ()), *self.fields]
        if not wanted:
            return None
        wanted += [own for parts in wanted for _, own in _of_steps(parts)]
        ids: set[int] = set()
        for key in {parts[0] for parts in wanted}:
            rows = reader.rows(
                "SELECT path_id, path FROM paths WHERE scope IN ('metadata', 'field') AND key = ?", (key,)
            )
            ids |= {path_id for path_id, path in rows if any(_below(parse_path(path), parts) for parts in wanted)}
        return sorted(ids)

    def accepts(self, ref: EntityRef, leaf: PathParts) -> bool:
        """Return whether a leaf of an entity is wanted by its path."""
        of_run = self.ref is not None and self.ref.kind == "run" and ref.kind == "step"
        if self.key is not None and not any(_wants(parts, ref, leaf, of_run) for parts in self.key):
            return False
        return self.mentioned is None or leaf in self.fields or any(_below(leaf, parts) for parts in self.mentioned)


def _wants(wanted: PathParts, ref: EntityRef, leaf: PathParts, of_run: bool) -> bool:
    if not of_run:
        return _below(leaf, wanted)
    return any(step == ref.name and _below(leaf, own) for step, own in _of_steps(wanted))


def _of_steps(parts: PathParts) -> Iterator[tuple[str, PathParts]]:
    """The steps and their own paths that ``step::key`` may mean on a run."""
    return ((step, (key, *parts[1:])) for step, key in step_keys(parts[0]))


def _below(leaf: PathParts, wanted: PathParts) -> bool:
    return leaf[: len(wanted)] == wanted


def is_filter(text: str) -> bool:
    """Return whether a text to watch is a filter; else it begins as a reference does."""
    return not _REFERENCE.match(text)


def select(scope: Scope, what: str | EntityRef | None, key: str | PathParts | None, kind: str | None) -> Selection:
    """Return the selection of a watch. Raises ArgumentError, or FilterError for what is no reference."""
    found = Selection(scope.project, kind, key=None if key is None else _paths(key))
    if what is None:
        return found
    if isinstance(what, str) and is_filter(what):
        filtered = compile_filter(scope, what)
        return msgspec.structs.replace(
            found, mentioned=filtered.paths or None, fields=filtered.fields, matches=filtered.matches
        )
    return msgspec.structs.replace(found, ref=_known_run(scope, parse_ref(what)))


def _paths(key: str | PathParts) -> tuple[PathParts, ...]:
    parts = parse_path(key)
    # A key may hold dots itself, such as train.loss: both readings are wanted.
    return (parts,) if not isinstance(key, str) or parts == (key,) else (parts, (key,))


def _known_run(scope: Scope, ref: EntityRef) -> EntityRef:
    if ref.kind != "run":
        return ref
    try:
        return EntityRef("run", run_of(scope, ref.name).id)
    except NotFoundError:
        return ref  # a run that is still to come


_FIELD = "(SELECT path_id FROM paths WHERE scope = 'field' AND key = :name)"
_SELECTED = f"""SELECT n.type, n.value FROM {stretches.of_leaf(":entity", _FIELD, "n")}
    WHERE {stretches.upto(":position")} AND n.position <= :position
    ORDER BY s.stretch DESC, n.position DESC LIMIT 1"""


class Selectors:
    """Return the version that a selector (``latest``, a stage) meant at a position; remembers the last answers."""

    def __init__(self, reader: ViewReader, selection: Selection) -> None:
        self._reader, self._project, self._ref = reader, selection.project, selection.ref
        self._known: tuple[int, str | None] = -1, None

    def fits(self, version: str, position: int) -> bool:
        """Return whether a version of the name is the one the reference meant at a position."""
        if self._ref is None or self._ref.version in (None, version):
            return True
        if self._known[0] != position:
            self._known = position, self._selected(position)
        return self._known[1] == version

    def _selected(self, position: int) -> str | None:
        assert self._ref is not None
        row = self._reader.one(
            "SELECT entity_id FROM entities WHERE project = ? AND kind = ? AND run = '' AND name = ? AND version = ''",
            (self._project, self._ref.kind, self._ref.name),
        )
        if row is None:
            return None
        name = "latest" if self._ref.version == "latest" else f"stage:{self._ref.version}"
        found = self._reader.one(_SELECTED, {"entity": row[0], "position": position, "name": name})
        return None if found is None or found[0] in ENDED else str(found[1])
