"""One entity: what is known of it, now or at any moment, and its past."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

from runlore.query import entity_rows, history
from runlore.query.entity_rows import EntityRow
from runlore.query.entries import Entry, Metadata, blame, entries
from runlore.query.history import History
from runlore.query.lineage import MAX_NODES, Lineage, lineage
from runlore.query.notebook import html_table
from runlore.query.scope import Scope
from runlore.query.series import Axis, Series, series
from runlore.query.time.moment import NO_END, NOW, AsOf, Clock, Moment, utc
from runlore.query.view.leaves import Cells, assemble, cells, leaves
from runlore.schemas.errors import NotFoundError
from runlore.schemas.paths import PathParts, parse_path
from runlore.schemas.references import EntityRef
from runlore.store.cells import readable


class Entity:
    """One thing metadata is about, as of one moment, read when asked for. Making one reads nothing."""

    _classes: ClassVar[dict[str, type[Entity]]] = {}
    """The class of each kind that has one of its own, and under ``""`` of all others."""

    def __init_subclass__(cls, kind: str | None = None) -> None:
        super().__init_subclass__()
        if kind is not None:
            Entity._classes[kind] = cls

    def __init__(self, scope: Scope, row: EntityRow) -> None:
        self.scope, self._row = scope, row
        self.entity_id: int = row[0]
        """Its number in this view; another after a rebuild."""
        self.project: str = row[1]
        self.kind: str = row[2]
        self._run: str = row[3]
        self.version: str | None = row[5] or None
        self.reference: str = row[6]
        self.created_position: int = row[7]

    @property
    def name(self) -> str:
        """Its name; of a run the name that it goes by."""
        return str(self._row[4])

    @property
    def moment(self) -> Moment:
        """The moment of all reads."""
        return self.scope.moment

    @property
    def created(self) -> dt.datetime | None:
        """When the log recorded the event that created it (server time, UTC)."""
        row = self.scope.reader.one("SELECT recorded_us FROM events WHERE position = ?", (self.created_position,))
        return utc(row[0]) if row else None

    @property
    def position(self) -> int:
        """All reads are complete up to this event."""
        return self.scope.position

    @property
    def known(self) -> bool:
        """True if it existed at its moment."""
        return entity_rows.is_known(self.scope, self.entity_id)

    @property
    def place(self) -> tuple[int, int]:
        """Its place in lists: position of creation, and order within one event."""
        return self.created_position, self.entity_id

    # -- current values ------------------------------------------------------------------------------

    @property
    def run_metadata(self) -> Metadata:
        """The current entry of every key; a group is one entry whose value is a dict."""
        return Metadata(self._entries(), self.reference)

    def _entries(self) -> dict[str, Entry]:
        """The entries of each part, the first of a key."""
        with self.scope.reader.read():
            return entries(self.scope.reader, self._numbered_parts(), self.moment)

    @property
    def metadata(self) -> dict[str, Any]:
        """Plain values by key."""
        return assemble(leaves(self.scope.reader, self.entity_id, "metadata", self.moment))

    @property
    def fields(self) -> dict[str, Any]:
        """Fields that Runlore itself keeps, for example ``status`` or ``stage``."""
        found = leaves(self.scope.reader, self.entity_id, "field", self.moment)
        return {leaf.parts[0]: leaf.value for leaf in found}

    def cells(self) -> Cells:
        """Type and cell of each live leaf as they are stored, by path, for comparing without decoding."""
        with self.scope.reader.read():
            return cells(self.scope.reader, self._numbered_parts(), self.moment)

    def parameter_cells(self) -> Cells:
        """Of a run or step its parameters as they are stored, by path: ``parameters.lr``."""
        return Cells()

    def blame(self, ended: bool = False) -> History:
        """Return the entry that last set each path, in the order in which the paths were first logged.

        `ended`: also paths that have no value now, with how they ended (``removed``, ``retracted``) and why.
        """
        with self.scope.reader.read():
            return History(blame(self.scope.reader, self._numbered_parts(), self.moment, ended), self.position)

    def parts(self) -> list[tuple[str, Entity]]:
        """The entities whose leaves it shows as its own, and the prefix of their keys: a run has its steps'.

        Of several that hold a key of one name, prefix included, the first counts: its own goes before a step's.
        """
        return [("", self)]

    def _numbered_parts(self) -> list[tuple[str, int]]:
        return [(prefix, part.entity_id) for prefix, part in self.parts()]

    # -- the past ------------------------------------------------------------------------------------

    def history(
        self,
        key: str | PathParts,
        limit: int | None = None,
        since: AsOf | None = None,
        *,
        until: AsOf | None = None,
        after: int | None = None,
        before: int | None = None,
        newest_first: bool = False,
    ) -> History:
        """Return all entries of a key, group or path (``"metrics.loss"``), oldest first; the newest `limit` of them.

        `since`, `until`: only what the log recorded from one position or time to another, both included.
        `after`, `before`: only what lies beyond a position, for the page behind or ahead of an entry; with
        `after`, `limit` keeps the oldest entries, which come next.

        An entry that ended has type ``removed`` or ``retracted`` and value None. Each entry has the value
        before it as `previous`, the first of a page too.
        A field such as ``stage`` or ``note`` has its history here too, unless a key of that name was logged.
        Raises NotFoundError for a key that it never had.
        """
        wanted = self.scope.range_of(limit, since, until, after, before)
        with self.scope.reader.read():
            holder, path = self.holder(key)
            found = history.read_history(self.scope.reader, holder.entity_id, path, wanted, self.moment)
            return History(reversed(found) if newest_first else found, self.position)

    def series(
        self,
        key: str | PathParts,
        limit: int | None = None,
        since: AsOf | None = None,
        *,
        until: AsOf | None = None,
        after: int | None = None,
        before: int | None = None,
        x: Axis = "time",
    ) -> Series:
        """Return the numbers of a path, oldest first, as arrays to plot; ranges as for `history`.

        Other values and ends are left out. With ``x="step"`` only what was logged with a step, in the order of the
        steps; of one step the last logged comes last. Raises NotFoundError for a key that it never had.
        """
        wanted = self.scope.range_of(limit, since, until, after, before)
        with self.scope.reader.read():
            holder, path = self.holder(key)
            return series(self.scope, holder.entity_id, path, wanted, x)

    def holder(self, key: str | PathParts) -> tuple[Entity, str | PathParts]:
        """The entity that has the key as its own, and the key there; of a run it may be one of its steps."""
        return self, key

    def holds(self, key: str | PathParts) -> bool:
        """Return whether it has the key itself, or the key that a path begins with, at its moment."""
        wanted = {parse_path(key)[0], key}  # a key may hold dots itself, such as train.loss
        with self.scope.reader.read():
            own = cells(self.scope.reader, [("", self.entity_id)], self.moment)
        return any(parse_path(path)[0] in wanted for path in own)

    def field_history(self, name: str) -> History:
        """All entries of a field such as ``status`` or ``stage``, oldest first; none if it never had one."""
        with self.scope.reader.read():
            found = history.read_field_history(self.scope.reader, self.entity_id, name, self.moment)
            return History(found, self.position)

    @property
    def tags(self) -> list[str]:
        """Its tags, sorted."""
        found: list[str] = self.fields.get("tags", [])
        return found

    @property
    def notes(self) -> History:
        """All notes, oldest first."""
        return self.field_history("note")

    # -- another moment, other entities --------------------------------------------------------------

    def as_of(self, when: AsOf, clock: Clock | None = None) -> Entity:
        """Return the entity as of an event number or time; see `Client` for clocks.

        Raises NotFoundError if it did not exist by then.
        """
        moment = self.scope.moment_of(when, clock)
        if moment.occurred_us is None and moment.position < self.created_position:
            raise NotFoundError(f"{self.reference} did not exist yet: event {self.created_position} created it")
        found = self.seen_at(moment)
        if not found.known:
            raise NotFoundError(f"{self.reference} did not exist by then")
        return found

    def seen_at(self, moment: Moment) -> Entity:
        """Return the entity at a moment, whether or not it existed by then: if not, it has no metadata."""
        return type(self)(self.scope.at(moment), self._row)

    def upstream(self, depth: int | None = None, max_nodes: int = MAX_NODES) -> Lineage[Entity]:
        """Return its sources: steps, the artifacts they consumed, and so on; `depth` links far, None for all."""
        return lineage(self.scope, self.entity_id, "upstream", depth, max_nodes, self._entities_of)

    def downstream(self, depth: int | None = None, max_nodes: int = MAX_NODES) -> Lineage[Entity]:
        """Return its results: steps that consumed it, what they produced, and so on; `depth` links far."""
        return lineage(self.scope, self.entity_id, "downstream", depth, max_nodes, self._entities_of)

    def _entities_of(self, ids: Sequence[int]) -> list[Entity]:
        return entities_of(self.scope, ids)

    def _targets(self, *relations: str) -> list[Entity]:
        """Return the entities it relates to in one of these ways."""
        return entities_from_rows(self.scope, entity_rows.targets_of(self.scope, self.entity_id, relations))

    def _sources(self, *relations: str) -> list[Entity]:
        """Return the entities that relate to it in one of these ways."""
        return entities_from_rows(self.scope, entity_rows.sources_of(self.scope, self.entity_id, relations))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Entity) and (self.project, self.reference, self.moment) == (
            other.project,
            other.reference,
            other.moment,
        )

    def __hash__(self) -> int:
        return hash((self.project, self.reference, self.moment))

    def __repr__(self) -> str:
        at = "" if self.moment.position == NO_END else f" as of {self.moment.position}"
        occurred = "" if self.moment.occurred_us is None else f" occurred by {utc(self.moment.occurred_us).isoformat()}"
        return f"<{self.reference}{at}{occurred}>"

    def _repr_html_(self) -> str:
        rows = [(key, readable(entry.value), entry.type, entry.position) for key, entry in self.run_metadata.items()]
        return html_table(("key", "value", "type", "event"), rows, self.reference)

    def __copy__(self) -> Entity:
        return type(self)(self.scope, self._row)

    def __deepcopy__(self, memo: object) -> Entity:
        return self.__copy__()  # nothing in it changes, and its connections are those of its client

    def __reduce__(self) -> tuple[Any, ...]:
        _, _, kind, run, name, version, *_ = self._row
        return found_again, (self.scope, kind, run, name, version)


def found_again(scope: Scope, kind: str, run: str, name: str, version: str) -> Entity:
    """A pickled entity: another process may read another view, in which its number is another."""
    row = entity_rows.named(scope.at(NOW), kind, run, name, version)
    if row is None:
        raise NotFoundError(f"no {EntityRef(kind, name, version or None, run or None)} in project {scope.project!r}")
    return entity_from_row(scope, row)


def entities_from_rows(scope: Scope, rows: Iterable[EntityRow]) -> list[Entity]:
    """The entities of rows, each of the class of its kind."""
    return [entity_from_row(scope, row) for row in rows]


def entity_from_row(scope: Scope, row: EntityRow) -> Entity:
    """The entity of one row."""
    kind: str = row[2]
    return Entity._classes.get(kind, Entity._classes[""])(scope, row)  # pyright: ignore[reportPrivateUsage] -- own


def entities_of(scope: Scope, ids: Sequence[int]) -> list[Entity]:
    """The entities of the view's IDs, in that order."""
    return entities_from_rows(scope, entity_rows.by_ids(scope, ids))
