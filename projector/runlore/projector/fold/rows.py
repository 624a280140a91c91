"""Rows of the view: those of earlier batches that the fold reads, and those it will write with this one.

Everything the fold looks up goes through the caches here. Within a batch they hold whatever is not yet in
the file, so they are emptied only between batches.
Nothing here depends on where a batch ends.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from runlore.projector.fold.event_rows import EventRows
from runlore.projector.fold.pending import Pending, next_id
from runlore.projector.fold.projection import Reads
from runlore.schemas.paths import PathParts, format_path, parse_path
from runlore.schemas.references import EntityRef
from runlore.store.cells import ENDED, ENDED_SQL, Cell, from_cell, to_cell
from runlore.store.sqlite import sqlite

MAX_CACHED_ENTITIES = 50_000
MAX_CACHED_PATHS = 200_000

EntityKey = tuple[str, str, str, str, str]
"""Project, kind, run, name, version."""

Leaves = dict[str, tuple[int, ...]]
"""The live leaves (path IDs) of an entity by top-level key."""

REMOVED: Cell = ("removed", None, None)


class ViewRows:
    """The view's rows as one batch sees and changes them."""

    def __init__(self, reads: Reads) -> None:
        self._reads = reads
        self.pending = Pending()
        self.events = EventRows(reads, self.pending)
        self._forget_all()

    # -- caches ------------------------------------------------------------------------------------

    def _forget_all(self) -> None:
        self._entities: dict[EntityKey, int] = {}
        self._refs: dict[int, EntityKey] = {}
        self._leaves: dict[int, Leaves] = {}
        self._fields: dict[tuple[int, int], Any] = {}
        self._numbers: dict[tuple[str, str, str], int] = {}
        self._linked: dict[int, dict[tuple[str, str, str], int]] = {}
        self._path_ids: dict[tuple[str, PathParts], int] = {}
        self.key_ids: dict[str, tuple[int]] = {}
        """What `key_id` has found."""
        self._group_ids: dict[tuple[str, ...], tuple[int, ...]] = {}
        self._path_parts: dict[int, PathParts] = {}
        self._starts: dict[int, int] = {}
        self._begin_batch()
        self._next = {
            "entities": next_id(self._reads, "entities", "entity_id"),
            "paths": next_id(self._reads, "paths", "path_id"),
        }

    def _begin_batch(self) -> None:
        self._new_versions: dict[tuple[str, str, str], list[tuple[int, int, str]]] = {}
        self._new_made: dict[int, list[int]] = {}

    def _one(self, sql: str, values: Sequence[Any]) -> Any:
        return self._reads.execute(sql, values).fetchone()

    def _take_id(self, table: str) -> int:
        taken = self._next[table]
        self._next[table] = taken + 1
        return taken

    def trim(self) -> None:
        """Between batches: empty the caches when they have grown large."""
        if self.events.cached > MAX_CACHED_ENTITIES:
            self.events.forget_all()
        if len(self._entities) > MAX_CACHED_ENTITIES or len(self._path_ids) + len(self._group_ids) > MAX_CACHED_PATHS:
            self._forget_all()
            self.events.forget_all()

    def abandon(self) -> None:
        """Drop everything that was not written."""
        self.pending.abandon()
        self._forget_all()
        self.events.forget_all()

    def take(self) -> Callable[[sqlite.Connection], None]:
        """Return the pending rows as a function that writes them."""
        self._begin_batch()
        return self.pending.take(self.events.take_touched()).write

    # -- entities ----------------------------------------------------------------------------------

    def find_entity(self, key: EntityKey) -> int | None:
        """The ID of an entity, if the log has named it."""
        found = self._entities.get(key)
        if found is None:
            row = self._one(
                "SELECT entity_id FROM entities WHERE project = ? AND kind = ? AND run = ? AND name = ?"
                " AND version = ?",
                key,
            )
            if row is not None:
                found = self._remember(key, row[0])
        return found

    def _remember(self, key: EntityKey, entity_id: int) -> int:
        self._entities[key] = entity_id
        self._refs[entity_id] = key
        return entity_id

    def entity_key(self, entity_id: int) -> EntityKey:
        key = self._refs.get(entity_id)
        if key is None:
            row = self._one("SELECT project, kind, run, name, version FROM entities WHERE entity_id = ?", (entity_id,))
            key = tuple(row)
            self._remember(key, entity_id)
        return key

    def entity(self, key: EntityKey, position: int, number: int | None = None) -> int:
        """The ID of an entity, made now if the log has not named it before."""
        found = self.find_entity(key)
        if found is not None:
            return found
        project, kind, run, name, version = key
        entity_id = self._take_id("entities")
        reference = str(EntityRef(kind, name, version or None, run or None))
        self.pending.rows["entities"].append(
            (entity_id, project, kind, run, name, version, number, reference, position)
        )
        self._leaves[entity_id] = {}
        if number is not None:
            self._new_versions.setdefault((project, kind, name), []).append((number, entity_id, version))
        return self._remember(key, entity_id)

    def highest_number(self, project: str, kind: str, name: str) -> int:
        """The highest version number of a name; 0 when it has none."""
        number = self._numbers.get((project, kind, name))
        if number is None:
            row = self._one(
                "SELECT coalesce(max(version_number), 0) FROM entities"
                " WHERE project = ? AND kind = ? AND run = '' AND name = ?",
                (project, kind, name),
            )
            number = self._numbers[project, kind, name] = int(row[0])
        return number

    def set_highest_number(self, project: str, kind: str, name: str, number: int) -> None:
        self._numbers[project, kind, name] = number

    def versions(self, project: str, kind: str, name: str) -> list[tuple[int, str]]:
        """Entity ID and version of all versions of a name, the highest number first."""
        rows = self._reads.execute(
            "SELECT version_number, entity_id, version FROM entities"
            " WHERE project = ? AND kind = ? AND run = '' AND name = ? AND version <> ''",
            (project, kind, name),
        )
        found = sorted([*rows, *self._new_versions.get((project, kind, name), ())], reverse=True)
        return [(entity_id, version) for _, entity_id, version in found]

    def runs_starting_with(self, project: str, prefix: str) -> list[str]:
        """Up to two run IDs that begin with `prefix`."""
        rows = self._reads.execute(
            "SELECT name FROM entities WHERE project = ? AND kind = 'run' AND run = ''"
            " AND name >= ? AND substr(name, 1, ?) = ? ORDER BY name LIMIT 2",
            (project, prefix, len(prefix), prefix),
        )
        found = {str(row[0]) for row in rows}
        for row in self.pending.rows["entities"]:
            if row[1:4] == (project, "run", "") and row[4].startswith(prefix):
                found.add(row[4])
        return sorted(found)[:2]

    # -- paths, leaves, fields -----------------------------------------------------------------------

    def path_id(self, scope: str, parts: PathParts) -> int:
        """Return the ID of a path, assigned in order of first appearance."""
        found = self._path_ids.get((scope, parts))
        if found is not None:
            return found
        path = format_path(parts)
        row = self._one("SELECT path_id FROM paths WHERE scope = ? AND key = ? AND path = ?", (scope, parts[0], path))
        if row is not None:
            found = int(row[0])
        else:
            found = self._take_id("paths")
            self.pending.rows["paths"].append((found, scope, parts[0], path))
        self._path_ids[scope, parts] = found
        self._path_parts[found] = parts
        return found

    def key_id(self, key: str) -> tuple[int]:
        """The path ID of a whole metadata key, alone in a tuple; `path_id` for the commonest case."""
        found = self.key_ids[key] = (self.path_id("metadata", (key,)),)
        return found

    def group_ids(self, names: tuple[str, ...]) -> tuple[int, ...]:
        """The path IDs of a group without groups in it: its key and its names, in order."""
        found = self._group_ids.get(names)
        if found is None:
            key = names[0]
            found = self._group_ids[names] = tuple([self.path_id("metadata", (key, name)) for name in names[1:]])
        return found

    def path_parts(self, path_id: int) -> PathParts:
        parts = self._path_parts.get(path_id)
        if parts is None:
            row = self._one("SELECT path FROM paths WHERE path_id = ?", (path_id,))
            parts = self._path_parts[path_id] = parse_path(row[0])
        return parts

    def leaves(self, entity_id: int) -> Leaves:
        """The live metadata leaves of an entity by key; change it along with the pending leaves."""
        found = self._leaves.get(entity_id)
        if found is None:
            rows = self._reads.execute(
                "SELECT p.key, h.path_id FROM heads h JOIN paths p USING (path_id) WHERE h.entity_id = ?"
                f" AND p.scope = 'metadata' AND h.type NOT IN {ENDED_SQL} ORDER BY h.path_id",
                (entity_id,),
            )
            leaves: Leaves = {}
            for key, path_id in rows:
                leaves[key] = (*leaves.get(key, ()), path_id)
            found = self._leaves[entity_id] = leaves
        return found

    def set_field(self, entity_id: int, name: str, value: Any, position: int) -> None:
        """Set a field of an entity; None ends the field if it is there."""
        path_id = self.path_id("field", (name,))
        if value is None and self.field(entity_id, name) is None:
            return
        self.pending.fields[entity_id, path_id, position] = REMOVED if value is None else to_cell(value)
        self._fields[entity_id, path_id] = value

    def field(self, entity_id: int, name: str) -> Any:
        """The current value of a field, None when it has none."""
        path_id = self.path_id("field", (name,))
        if (entity_id, path_id) not in self._fields:
            row = self._one("SELECT type, value FROM heads WHERE entity_id = ? AND path_id = ?", (entity_id, path_id))
            live = bool(row) and row[0] not in ENDED
            self._fields[entity_id, path_id] = from_cell(row[0], row[1]) if live else None
        return self._fields[entity_id, path_id]

    # -- links ---------------------------------------------------------------------------------------

    def link(self, source: int, relation: str, target: int, position: int, since: int = 0) -> None:
        """Link `source` to `target`, unless `linked` finds that link already."""
        _, kind, _, name, _ = self.entity_key(target)
        if self.linked(source, relation, kind, name, since) != target:
            self.pending.rows["links"].append((source, relation, target, position))
            self.pending.mention(target, position)
            self._linked.setdefault(source, {})[relation, kind, name] = target
            if relation == "made":
                self._new_made.setdefault(source, []).append(target)

    def made_by(self, run: int) -> list[int]:
        """The model versions that a run made, in the order in which it did."""
        rows = self._reads.execute(
            "SELECT target_id FROM links WHERE source_id = ? AND relation = 'made' ORDER BY position, target_id", (run,)
        )
        return list(dict.fromkeys([*(int(row[0]) for row in rows), *self._new_made.get(run, ())]))

    def linked(self, source: int, relation: str, kind: str, name: str, since: int = 0) -> int | None:
        """Return the version of `kind`:`name` last linked to `source`, at position `since` or later."""
        found = self._linked.setdefault(source, {}).get((relation, kind, name))
        if found is None:
            row = self._one(
                "SELECT target_id FROM links JOIN entities ON entity_id = target_id"
                " WHERE source_id = ? AND relation = ? AND kind = ? AND name = ? AND position >= ?"
                " ORDER BY position DESC LIMIT 1",
                (source, relation, kind, name, since),
            )
            if row is not None:
                found = int(row[0])
                self._linked.setdefault(source, {})[relation, kind, name] = found
        return found

    def step_since(self, step: int) -> int:
        """Return the position of a step's last start; 0 if no start was recorded."""
        since = self._starts.get(step)
        if since is None:
            path_id = self.path_id("field", ("started_at",))
            row = self._one("SELECT position FROM heads WHERE entity_id = ? AND path_id = ?", (step, path_id))
            since = self._starts[step] = int(row[0]) if row else 0
        return since

    def start_step(self, step: int, position: int) -> None:
        """Begin a new attempt of a step: its earlier links no longer count."""
        self._starts[step] = position
        self._linked.pop(step, None)
