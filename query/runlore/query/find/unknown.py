"""Keys of a question that nothing has: most likely a slip, which an empty answer would not tell."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast

from runlore.query import entity_rows
from runlore.query.find import ast
from runlore.query.find.checks import ONLY_FIELDS, entity_field
from runlore.query.find.conditions import Binder
from runlore.query.find.parse import parse_key
from runlore.query.find.snapshot import DICT_FIELDS, KeyPaths, Snapshot
from runlore.query.near import MAX_KNOWN, near
from runlore.query.scope import Scope
from runlore.query.view.leaves import field_of_many
from runlore.query.view.value_index import SINCE
from runlore.schemas.names import is_unicode
from runlore.schemas.paths import format_path

LOOKED_AT = 200
"""The newest entities of a kind whose parameters are known names."""
MAX_STEPS = 20
"""Names of steps whose keys may be meant."""
SEARCHED = 10_000
"""Entities that have a key and are of another kind: beyond it the key counts as known."""
# Two arms, one for each of the indexes, and what they do not have yet.
_HOLDERS = f"""
SELECT count(*), max(e.kind = :kind AND e.project = :project) FROM (
    SELECT entity_id FROM (SELECT h.entity_id FROM head_values h
        WHERE h.path_id = :path AND h.value IS NOT NULL LIMIT {SEARCHED})
    UNION ALL SELECT entity_id FROM (SELECT h.entity_id FROM head_values h
        WHERE h.path_id = :path AND h.value IS NULL LIMIT {SEARCHED})
    UNION ALL SELECT h.entity_id FROM {SINCE} c CROSS JOIN heads h
        ON h.entity_id = c.entity_id AND h.path_id = :path
) d CROSS JOIN entities e ON e.entity_id = d.entity_id"""
_PATHS = "SELECT path FROM paths ORDER BY path_id LIMIT ?"


class UnknownKey(NamedTuple):
    """A key that no entity of a kind has."""

    key: str
    near: list[str]
    """Keys that are like it, and that there are."""
    kind: str | None = None

    def __str__(self) -> str:
        like = f"; did you mean {' or '.join(f'`{name}`' for name in self.near)}?" if self.near else ""
        return f"no {self.kind or 'entity'} has `{self.key}`{like}"


def unknown_keys(scope: Scope, kind: str | None, keys: Iterable[ast.Key], of_kind: bool = True) -> list[UnknownKey]:
    """The keys, each once, that no entity of the kind (None: of any) has or ever had.

    Without `of_kind` those that nothing at all has, which costs less.
    """
    snapshot = Snapshot(scope.reader, scope.project, kind if of_kind else None, None, Binder())
    lost = [key for key in dict.fromkeys(keys) if is_unicode(kind or "") and not _is_known(scope, snapshot, key)]
    if not lost:
        return []
    known = [*_parameters(scope, kind), *(row[0] for row in scope.reader.rows(_PATHS, (MAX_KNOWN,)))]
    steps = _step_names(scope) if kind in (None, "run") else []
    found = list[UnknownKey]()
    for key in lost:
        name = format_path(key.parts)
        of_steps = _that_are(scope, snapshot, [f"{step}::{name}" for step in steps])
        like = of_steps or _that_are(scope, snapshot, near(name, known))
        found.append(UnknownKey(name, like, kind))
    return found


def _is_known(scope: Scope, snapshot: Snapshot, key: ast.Key) -> bool:
    if entity_field(key) is not None or (key.parts[0] in ONLY_FIELDS and len(key.parts) == 1):
        return True
    places = [*snapshot.places(key), *snapshot.places(key, below=True)]
    if not places or snapshot.kind is None:
        return bool(places)
    if key.parts[0] in DICT_FIELDS and len(key.parts) > 1 and any(place.inside for place in places):
        return format_path(key.parts[:2]) in _parameters(scope, snapshot.kind) or key.parts[0] != "parameters"
    return any(_has(scope, snapshot.kind, place) for place in places)


def _has(scope: Scope, kind: str, place: KeyPaths) -> bool:
    of = kind if place.step is None else "step"
    for path in place.paths:
        found = scope.reader.one(_HOLDERS, {"project": scope.project, "kind": of, "path": path})
        if found is not None and (found[0] >= SEARCHED or found[1]):
            return True
    return False


def _parameters(scope: Scope, kind: str | None) -> list[str]:
    """Names of the newest runs' parameters, as keys."""
    if kind not in (None, "run", "step"):
        return []
    rows: Sequence[entity_rows.EntityRow] = entity_rows.newest(scope, kind or "run", LOOKED_AT)
    values = field_of_many(scope.reader, [row[0] for row in rows], "parameters", scope.moment).values()
    names = dict.fromkeys(name for value in values if isinstance(value, dict) for name in cast("dict[str, Any]", value))
    return [format_path(("parameters", name)) for name in names]


def _step_names(scope: Scope) -> list[str]:
    """Names of the newest steps: a run has their keys, too."""
    return list(dict.fromkeys(row[4] for row in entity_rows.newest(scope, "step", LOOKED_AT)))[:MAX_STEPS]


def _that_are(scope: Scope, snapshot: Snapshot, names: Iterable[str]) -> list[str]:
    """Those that the kind has: a suggestion must not lead to nothing."""
    return [name for name in names if _is_known(scope, snapshot, _key(name))]


def _key(name: str) -> ast.Key:
    step, double, inner = name.partition("::")
    if not double:
        return parse_key(name)
    key = parse_key(inner)
    return ast.Key((f"{step}::{key.parts[0]}", *key.parts[1:]))
