"""SQL that reads keys and fields of an entity `e`: the latest values, or those as of a position."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

from runlore.query.find import ast
from runlore.query.find.checks import ONLY_FIELDS, entity_field
from runlore.query.find.conditions import Binder
from runlore.query.view.connection import ViewReader
from runlore.query.view.leaves import step_keys
from runlore.query.view.value_index import SHORT
from runlore.schemas.paths import PathParts, format_path, parse_path
from runlore.store import stretches
from runlore.store.cells import ENDED_SQL

OWN = "e.entity_id"
DICT_FIELDS = ("parameters", "environment")
"""Fields of a run whose value is a dict: a key may mean a part of it."""


class KeyPaths(NamedTuple):
    """Paths where a key's value may be: of the entity itself, or of a step of the run that it is."""

    paths: tuple[int, ...]
    step: str | None = None
    inside: PathParts = ()
    """Path inside the value, for fields that hold a dict: a run's parameters."""

    @property
    def indexed(self) -> bool:
        """True if the indexes on values hold it."""
        return not self.inside


class Snapshot:
    """Builds SQL that reads one state of the view: the latest (`as_of` None), or the one at a position."""

    def __init__(self, reader: ViewReader, project: str, kind: str | None, as_of: int | None, bind: Binder) -> None:
        self._reader, self.bind, self.kind, self.as_of = reader, bind, kind, as_of
        self.project = bind(project)
        self.at = "" if as_of is None else bind(as_of)
        self._places: dict[tuple[ast.Key, bool], list[KeyPaths]] = {}

    # -- names ---------------------------------------------------------------------------------------

    def places(self, key: ast.Key, below: bool = False) -> list[KeyPaths]:
        """Return the paths a key may mean, in the order in which one value is chosen; with `below`, whole groups."""
        found = self._places.get((key, below))
        if found is None:
            found = self._places[key, below] = list(self._find_places(key, below))
        return found

    def _find_places(self, key: ast.Key, below: bool) -> list[KeyPaths]:
        first, inner = key.parts[0], key.parts[1:]
        lone = len(key.parts) == 1 and not key.quoted
        scopes = ["metadata"] if key.quoted else ["metadata", "field"]
        if lone and key.parts[0] in ONLY_FIELDS:
            scopes = ["field"]
        spellings = [key.parts]
        if len(key.parts) > 1 and not key.quoted:
            spellings.append((".".join(key.parts),))  # a key that holds dots, such as train.loss
        found = [KeyPaths(self._ids(scope, parts, below)) for scope in scopes for parts in spellings]
        if "field" in scopes and len(key.parts) > 1 and key.parts[0] in DICT_FIELDS:
            found.append(KeyPaths(self._ids("field", key.parts[:1], below=False), inside=key.parts[1:]))
        if self.kind in (None, "run"):
            for step, rest in step_keys(first):
                found.append(KeyPaths(self._ids("metadata", (rest, *inner), below), step))
        return [place for place in found if place.paths]

    def _ids(self, scope: str, parts: PathParts, below: bool) -> tuple[int, ...]:
        try:
            text, key = format_path(parts), "".join(parts[:1])
            text.encode()
        except UnicodeEncodeError:
            return ()  # no stored key has lone surrogates
        if not below:
            sql = "SELECT path_id FROM paths WHERE scope = ? AND key = ? AND path = ?"
            return tuple(row[0] for row in self._reader.rows(sql, (scope, key, text)))
        rows = self._reader.rows("SELECT path_id, path FROM paths WHERE scope = ? AND key = ?", (scope, key))
        return tuple(path_id for path_id, path in rows if parse_path(path)[: len(parts)] == parts)

    # -- values --------------------------------------------------------------------------------------

    def exists(self, place: KeyPaths, test: str, ever: bool = False) -> str:
        """Return whether a row `h` at the place passes a test; with `ever`, also one of the past."""
        if len(place.paths) == 1:
            return self._exists(place, self.bind(place.paths[0]), test, ever)
        paths = f"json_each({self.bind(str(list(place.paths)))}) p"
        return f"EXISTS (SELECT 1 FROM {paths} WHERE {self._exists(place, 'p.value', test, ever)})"

    def _exists(self, place: KeyPaths, path: str, test: str, ever: bool) -> str:
        subject = self._subject(place)
        head = f"FROM heads h WHERE h.entity_id = {subject} AND h.path_id = {path}"
        if self.as_of is None and not ever:
            return f"EXISTS (SELECT 1 {head} AND {test})"
        rows = f"{stretches.of_leaf(subject, path)} WHERE {self._seen()}"
        if ever:
            return f"EXISTS (SELECT 1 FROM {rows} AND {test})"
        # A leaf that has not changed since is looked at once, not in each stretch.
        newest = f"SELECT h.type, h.value FROM {rows} ORDER BY s.stretch DESC, h.position DESC LIMIT 1"
        return (
            f"(EXISTS (SELECT 1 {head} AND h.position <= {self.at} AND {test}) OR"
            f" EXISTS (SELECT 1 {head} AND h.position > {self.at})"
            f" AND EXISTS (SELECT 1 FROM ({newest}) h WHERE {test}))"
        )

    def _seen(self) -> str:
        return f"{stretches.upto(self.at)} AND h.position <= {self.at}" if self.at else "1"

    def _subject(self, place: KeyPaths) -> str:
        if place.step is None:
            return OWN
        return (
            f"(SELECT s.entity_id FROM entities s WHERE e.kind = 'run' AND s.project = e.project AND s.kind = 'step'"
            f" AND s.run = e.name AND s.name = {self.bind(place.step)} AND s.version = '')"
        )

    def columns(self, place: KeyPaths) -> tuple[str, str]:
        """The SQL of value and type of a row `h` at the place."""
        if not place.inside:
            # The unary plus keeps the planner on the primary key: one seek an entity, not one index range.
            return "+h.value", "+h.type"
        path = self.bind(json.dumps(place.inside))
        return f"runlore_part_value(h.type, h.value, {path})", f"runlore_part_type(h.type, h.value, {path})"

    def latest(self, place: KeyPaths) -> tuple[str, str]:
        """Type and value at a place, where it can be ordered by; NULL where there is none."""
        value, kind = self.columns(place)
        short = SHORT.replace("h.value", value)
        subject, path = self._subject(place), place.paths[0]
        return (
            self._scalar(subject, path, f"iif({short}, {kind}, NULL)"),
            self._scalar(subject, path, f"iif({short}, {value}, NULL)"),
        )

    def _scalar(self, subject: str, path_id: int, column: str) -> str:
        live = f"iif(h.type IN {ENDED_SQL}, NULL, {column})"
        path = self.bind(path_id)
        if self.as_of is not None:
            live = f"iif(h.position <= {self.at}, {live}, {stretches.newest(live, subject, path, self._seen(), 'h')})"
        return f"(SELECT {live} FROM heads h WHERE h.entity_id = {subject} AND h.path_id = {path})"

    def _field(self, subject: str, name: str) -> str:
        ids = self._ids("field", (name,), below=False)
        return self._scalar(subject, ids[0], "h.value") if ids else "NULL"

    # -- fields of the entity ------------------------------------------------------------------------

    def entity_value(self, key: ast.Key) -> str | None:
        """The SQL of a text field that comes from the entity or its links, None for any other key."""
        makers: dict[str, Callable[[], str]] = {
            "name": self._name,
            "version": lambda: "nullif(e.version, '')",
            "run": self._run,
            "step": lambda: f"CASE e.kind WHEN 'step' THEN e.name ELSE {self._producer('name')} END",
            "pipeline": self._pipeline,
        }
        field = entity_field(key)
        return None if field is None or field == "created" else makers[field]()

    def _name(self) -> str:
        if self.kind not in (None, "run"):
            return "e.name"
        return f"CASE e.kind WHEN 'run' THEN coalesce({self._field(OWN, 'name')}, e.name) ELSE e.name END"

    def _run(self) -> str:
        by_links = f"coalesce({self._field(OWN, 'run')}, {self._producer('run')})"
        return f"CASE e.kind WHEN 'run' THEN e.name WHEN 'step' THEN e.run ELSE {by_links} END"

    def _producer(self, column: str) -> str:
        """Of the step that the field `produced_by` names: the last that made it, said again or not."""
        # Only its own makers are looked at: there is no index on references.
        return (
            f"(SELECT s.{column} FROM links l CROSS JOIN entities s ON s.entity_id = l.source_id"
            " WHERE l.target_id = e.entity_id AND l.relation = 'produced'"
            f" AND s.reference = {self._field(OWN, 'produced_by')} LIMIT 1)"
        )

    def _pipeline(self) -> str:
        run = (
            "(SELECT r.entity_id FROM entities r WHERE r.project = e.project AND r.kind = 'run' AND r.run = ''"
            f" AND r.name = {self._run()} AND r.version = '')"
        )
        return f"CASE e.kind WHEN 'pipeline' THEN e.name ELSE {self._field(run, 'pipeline')} END"
