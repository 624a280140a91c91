"""One entity: what is known of it, now or at any moment, and its past."""

from __future__ import annotations

import datetime as dt
import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from runlore.query import entries as stored
from runlore.query import timeline
from runlore.query.entries import Entry, Metadata
from runlore.query.histories import History
from runlore.query.leaves import Cells, assemble, cells, leaves
from runlore.query.lineage import MAX_NODES, Lineage, lineage, linking
from runlore.query.moments import NO_END, AsOf, Clock, Moment, utc
from runlore.query.reader import ViewReader
from runlore.query.series import Series, series
from runlore.schemas.cells import readable
from runlore.schemas.errors import NotFoundError
from runlore.schemas.paths import PathParts, parse_path

if TYPE_CHECKING:
    from runlore.query.lookup import Lookup


class Entity:
    """One thing metadata is about, as of one moment (`position`), read when asked for."""

    def __init__(self, client: Lookup, row: tuple[Any, ...], moment: Moment) -> None:
        self._client, self._row, self.moment = client, row, moment
        self._id: int = row[0]
        self.project: str = row[1]
        self.kind: str = row[2]
        self._run: str = row[3]
        self.name: str = row[4]
        self.version: str | None = row[5] or None
        self.reference: str = row[6]
        self.created_position: int = row[7]

    @property
    def client(self) -> Lookup:
        """The client that it is read with."""
        return self._client

    @property
    def reader(self) -> ViewReader:
        """Where it is read from."""
        return self._client.reader

    @property
    def entity_id(self) -> int:
        """Its number in this view; another after a rebuild."""
        return self._id

    @property
    def created(self) -> dt.datetime | None:
        """When the log first named it (server time, UTC)."""
        row = self._client.reader.one("SELECT recorded_us FROM events WHERE position = ?", (self.created_position,))
        return utc(row[0]) if row else None

    @property
    def position(self) -> int:
        """What is read here is complete up to this position."""
        return min(self._client.position, self.moment.position)

    @property
    def known(self) -> bool:
        """Whether anything had named it by its moment."""
        known, values = self.moment.knows()
        found = self._client.reader.one(f"SELECT 1 FROM entities WHERE entity_id = ? AND {known}", (self._id, *values))
        return found is not None

    @property
    def place(self) -> tuple[int, int]:
        """Where it stands in listings: position of creation, and order within one event."""
        return self.created_position, self._id

    # -- what holds ----------------------------------------------------------------------------------

    @property
    def run_metadata(self) -> Metadata:
        """The current entry of every key; a group is one entry whose value is a dict."""
        return Metadata(self._entries(), self.reference)

    def _entries(self) -> dict[str, Entry]:
        return stored.entries(self._client.reader, self._id, self.moment)

    @property
    def metadata(self) -> dict[str, Any]:
        """Plain values by key."""
        return assemble(leaves(self._client.reader, self._id, "metadata", self.moment))

    @property
    def fields(self) -> dict[str, Any]:
        """What Runlore knows of the entity itself, for example ``status`` or ``stage``."""
        found = leaves(self._client.reader, self._id, "field", self.moment)
        return {leaf.parts[0]: leaf.value for leaf in found}

    def cells(self) -> Cells:
        """The live leaves as they are stored: type and cell by path, for comparing without decoding."""
        with self._client.reader.read():
            found, taken = Cells(), set[str]()
            for prefix, entity in self._parts():
                own = cells(self._client.reader, entity._id, self.moment, prefix)
                keys = {path: parse_path(path)[0] for path in own}
                found |= {path: cell for path, cell in own.items() if keys[path] not in taken}
                taken.update(keys.values())
        return found

    def parameter_cells(self) -> Cells:
        """Of a run or step its parameters as they are stored, by path: ``parameters.lr``."""
        return Cells()

    def blame(self, ended: bool = False) -> History:
        """For each leaf the entry that last set it, in the order in which the leaves were first logged.

        `ended`: also the leaves that no longer hold, with how they ended (``removed``, ``retracted``) and why.
        """
        with self._client.reader.read():
            found, taken = list[Entry](), set[str]()
            for prefix, entity in self._parts():
                said = stored.blame(self._client.reader, entity._id, self.moment, ended, prefix)
                found += [entry for entry in said if entry.key not in taken]
                taken.update(entry.key for entry in said if not entry.ended)
            return History(found, self.position)

    def parts(self) -> list[tuple[str, Entity]]:
        """The entities whose leaves it shows as its own, and the prefix of their keys: a run has its steps'.

        Of several that hold a key of one name, prefix included, the first counts: its own goes before a step's.
        """
        return self._parts()

    def _parts(self) -> list[tuple[str, Entity]]:
        """The entities whose leaves it shows as its own, and the prefix of their keys."""
        return [("", self)]

    # -- its past ------------------------------------------------------------------------------------

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
        """All entries of a key, group or leaf (``"metrics.loss"``), oldest first; the newest `limit` of them.

        `since`, `until`: only what the log recorded from one position or time to another, both included.
        `after`, `before`: only what lies beyond a position, for the page behind or ahead of an entry; with
        `after`, `limit` keeps the oldest entries, which come next.

        An entry that ended has type ``removed`` or ``retracted`` and value None. Each entry has the value
        before it as `previous`, the first of a page too.
        A field such as ``stage`` or ``note`` has its history here too, unless a key of that name was logged.
        Raises NotFoundError when it was never logged here.
        """
        wanted = self._client.range_of(limit, since, until, after, before)
        with self._client.reader.read():
            entity, path = self._holder(key)
            found = timeline.history(self._client.reader, entity._id, path, wanted, self.moment)
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
    ) -> Series:
        """The numbers that a leaf had, oldest first, as arrays to plot; ranges as for `history`.

        Other values and ends are left out. Raises NotFoundError when it was never logged here.
        """
        wanted = self._client.range_of(limit, since, until, after, before)
        with self._client.reader.read():
            entity, path = self._holder(key)
            return series(self._client.reader, entity._id, path, wanted, self.moment, self._client.clock)

    def _holder(self, key: str | PathParts) -> tuple[Entity, str | PathParts]:
        """The entity that has the key as its own, and the key there."""
        return self, key

    def holds(self, key: str | PathParts) -> bool:
        """Whether it has the key itself, or the key that a path begins with, at its moment."""
        wanted = {parse_path(key)[0], key}  # a key may hold dots itself, such as train.loss
        with self._client.reader.read():
            own = cells(self._client.reader, self._id, self.moment)
        return any(parse_path(path)[0] in wanted for path in own)

    def field_history(self, name: str) -> History:
        """All entries of a field such as ``status`` or ``stage``, oldest first; none if it never had one."""
        with self._client.reader.read():
            found = timeline.field_history(self._client.reader, self._id, name, self.moment)
            return History(found, self.position)

    @property
    def notes(self) -> History:
        """All notes, oldest first."""
        return self.field_history("note")

    # -- at another moment ---------------------------------------------------------------------------

    def as_of(self, when: AsOf, clock: Clock | None = None) -> Entity:
        """The same entity as the log knew it at a position or time; see `Client` for clocks.

        Raises NotFoundError when nothing had named it by then.
        """
        moment = self._client.moment_of(when, clock, within=self.moment)
        if moment.occurred_us is None and moment.position < self.created_position:
            raise NotFoundError(f"{self.reference} is first named at position {self.created_position}")
        return self._client.at(self.reference, moment)

    def seen_at(self, moment: Moment) -> Entity:
        """The same entity at a moment, whether or not it was known by then: if not, it has no metadata."""
        return type(self)(self._client, self._row, moment)

    def upstream(self, depth: int | None = None, max_nodes: int = MAX_NODES) -> Lineage:
        """What it was made from: steps, the artifacts they consumed, and so on; `depth` links far, None for all."""
        return lineage(self._client, self._id, self.moment, "upstream", depth, max_nodes)

    def downstream(self, depth: int | None = None, max_nodes: int = MAX_NODES) -> Lineage:
        """What was made from it: steps that consumed it, what they produced, and so on; `depth` links far."""
        return lineage(self._client, self._id, self.moment, "downstream", depth, max_nodes)

    def _linked(self, relation: str) -> list[Entity]:
        """Entities that it relates to."""
        return self._client.linked(self._id, relation, self.moment)

    def _linking(self, relations: Sequence[str]) -> list[Entity]:
        """Entities that relate to it in one of these ways."""
        return linking(self._client, self._id, self.moment, relations)

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
        rows = "".join(
            f"<tr><th style='text-align:left'>{html.escape(key)}</th><td>{html.escape(readable(entry.value))}</td>"
            f"<td>{html.escape(entry.type)}</td><td>{entry.position}</td></tr>"
            for key, entry in self.run_metadata.items()
        )
        head = "<tr><th>key</th><th>value</th><th>type</th><th>position</th></tr>"
        return f"<b>{html.escape(self.reference)}</b><table>{head}{rows}</table>"
