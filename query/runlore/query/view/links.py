"""Links between entities, many at once, as of a moment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal, NamedTuple

from runlore.query.time.moment import Moment
from runlore.query.view.connection import ViewReader

MAX_LINKS = 20_000
"""Links of one kind that one level reads; the earliest stay."""
Relation = Literal["produced", "consumed", "made", "used", "ran"]


class Link(NamedTuple):
    """One link between two entity IDs, and the position of the event that first said so."""

    source: int
    relation: Relation
    target: int
    position: int


class Links:
    """Reads the links of many entities at once, as of a moment."""

    def __init__(self, reader: ViewReader, moment: Moment) -> None:
        self._reader, self._moment = reader, moment
        self.cut = False
        """True if a read met its limit."""

    def of(self, ids: Iterable[int], side: Literal["source", "target"], relations: Sequence[str]) -> list[Link]:
        """Links whose source or target is one of `ids`."""
        seen, values = self._moment.event_condition("links.position")
        rows = self._reader.rows(
            f"SELECT source_id, relation, target_id, min(position) AS first FROM links WHERE {side}_id IN"
            f" (SELECT value FROM json_each(?)) AND relation IN (SELECT value FROM json_each(?)) AND {seen}"
            " GROUP BY source_id, relation, target_id ORDER BY first, source_id, relation, target_id LIMIT ?",
            (str(list(ids)), _json(relations), *values, MAX_LINKS),
        )
        return self._all(rows)

    def _all(self, rows: list[tuple[Any, ...]]) -> list[Link]:
        self.cut |= len(rows) == MAX_LINKS
        return [Link(*row) for row in rows]

    def steps(self, runs: Iterable[int]) -> list[Link]:
        """Runs and the steps they ran."""
        return self._members("r.entity_id", runs)

    def runs(self, steps: Iterable[int]) -> list[Link]:
        """The same, from the steps' side."""
        return self._members("s.entity_id", steps)

    def _members(self, column: str, ids: Iterable[int]) -> list[Link]:
        (known_run, values), (known_step, more) = self._moment.entity_condition("r"), self._moment.entity_condition("s")
        rows = self._reader.rows(
            "SELECT r.entity_id, 'ran', s.entity_id, s.created_position FROM entities r JOIN entities s"
            " ON s.project = r.project AND s.kind = 'step' AND s.run = r.name AND s.version = ''"
            f" WHERE r.kind = 'run' AND r.run = '' AND {column} IN (SELECT value FROM json_each(?))"
            f" AND {known_run} AND {known_step} ORDER BY s.entity_id LIMIT ?",
            (str(list(ids)), *values, *more, MAX_LINKS),
        )
        return self._all(rows)

    def upstream(self, ids: list[int]) -> list[Link]:
        """Links against the flow of data. A run shows what its steps produced, too: a model was made with it."""
        ran = self.steps(ids)
        steps = [link.target for link in ran]
        return [
            *self.of(ids, "target", ("produced", "made")),
            *ran,
            *self.of(ids, "source", ("consumed", "used")),
            *self.of(steps, "source", ("produced",)),
        ]

    def downstream(self, ids: list[int], first: bool) -> list[Link]:
        """Links along the flow. Steps lead to their run where it made models; a run as root leads to its steps."""
        ran = self.runs(ids)
        made = self.of([link.source for link in ran], "source", ("made",))
        makers = {link.source for link in made}
        return [
            *self.of(ids, "target", ("consumed", "used")),
            *(self.steps(ids) if first else ()),
            *self.of(ids, "source", ("produced", "made")),
            *(link for link in ran if link.source in makers),
        ]


def _json(texts: Sequence[str]) -> str:
    return "[" + ", ".join(f'"{text}"' for text in texts) + "]"
