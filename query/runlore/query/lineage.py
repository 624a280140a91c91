"""Lineage: what an entity was made from, and what was made from it.

Data flows along links: an artifact version that a step consumed → the step → the artifact versions it produced, and
step → its run → the model versions that the run made. A model version that a run used flows into the run.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from runlore.query.moments import Moment
from runlore.schemas.errors import InvalidReferenceError

if TYPE_CHECKING:
    from runlore.query.entities import Entity
    from runlore.query.lookup import Lookup

MAX_NODES = 1000
MAX_LINKS = 20_000
"""Links of one kind that one level reads; the earliest said stay."""
Direction = Literal["upstream", "downstream"]
Relation = Literal["produced", "consumed", "made", "used", "ran"]

BACKWARDS: dict[Relation, str] = {
    "produced": "produced by",
    "consumed": "consumed by",
    "made": "made by",
    "used": "used by",
    "ran": "ran in",
}
"""What a relation is called from its target's side."""


class Edge(NamedTuple):
    """`source` produced or consumed (a step), made, used or ran (a run) `target`; first said at `position`."""

    source: Entity
    relation: Relation
    target: Entity
    position: int


class Hop(NamedTuple):
    """An edge in the direction in which it was walked: `word` leads from `start` to `end`."""

    start: Entity
    word: str
    end: Entity


class Lineage:
    """Entities (`nodes`, each once, the nearest first) and the links between them, from `root` on."""

    def __init__(self, nodes: list[Entity], edges: list[Edge], hops: list[Hop], direction: Direction, cut: bool):
        self.root, self.nodes, self.edges, self.direction = nodes[0], nodes, edges, direction
        self.hops = hops
        """Every edge as it was walked, in that order."""
        self.cut = cut
        """Whether there is more than the wanted number of nodes."""

    def to_dict(self) -> dict[str, Any]:
        """References of `nodes`, and `edges` as dicts of source, relation, target and position."""
        return {
            "root": self.root.reference,
            "direction": self.direction,
            "nodes": [node.reference for node in self.nodes],
            "edges": [
                {
                    "source": edge.source.reference,
                    "relation": edge.relation,
                    "target": edge.target.reference,
                    "position": edge.position,
                }
                for edge in self.edges
            ],
            "cut": self.cut,
        }

    def tree(self) -> Iterator[tuple[int, str, Entity, bool]]:
        """As an indented tree: level, relation word, entity, and whether its own branches were shown above."""
        branches: dict[Entity, list[Hop]] = {}
        for hop in self.hops:
            branches.setdefault(hop.start, []).append(hop)
        shown, waiting = set[Any](), [(0, "", self.root)]
        while waiting:
            level, word, entity = waiting.pop()
            again = entity in shown
            shown.add(entity)
            yield level, word, entity, again and entity in branches
            if not again:
                waiting += [(level + 1, hop.word, hop.end) for hop in reversed(branches.get(entity, []))]

    def __repr__(self) -> str:
        more = ", cut" if self.cut else ""
        return f"<{self.direction} of {self.root.reference}: {len(self.nodes)} nodes, {len(self.edges)} edges{more}>"

    def _repr_html_(self) -> str:
        lines = "".join(
            f"<div style='margin-left:{level * 1.5}em'>{word} <b>{html.escape(entity.reference)}</b>"
            f"{' (above)' if again else ''}</div>"
            for level, word, entity, again in self.tree()
        )
        return lines + (f"<div>only the nearest {len(self.nodes)} are shown</div>" if self.cut else "")


class _Link(NamedTuple):
    source: int
    relation: Relation
    target: int
    position: int


class _Links:
    """Reads the links of many entities at once, as of a moment."""

    def __init__(self, client: Lookup, moment: Moment) -> None:
        self._reader = client.reader
        self._moment = moment
        self.cut = False

    def of(self, ids: Iterable[int], side: Literal["source", "target"], relations: Sequence[str]) -> list[_Link]:
        """Links whose source or target is one of `ids`."""
        said, values = self._moment.sees("links.position")
        rows = self._reader.rows(
            f"SELECT source_id, relation, target_id, min(position) AS first FROM links WHERE {side}_id IN"
            f" (SELECT value FROM json_each(?)) AND relation IN (SELECT value FROM json_each(?)) AND {said}"
            " GROUP BY source_id, relation, target_id ORDER BY first, source_id, relation, target_id LIMIT ?",
            (str(list(ids)), _json(relations), *values, MAX_LINKS),
        )
        return self._all(rows)

    def _all(self, rows: list[tuple[Any, ...]]) -> list[_Link]:
        self.cut |= len(rows) == MAX_LINKS
        return [_Link(*row) for row in rows]

    def steps(self, runs: Iterable[int]) -> list[_Link]:
        """Runs and the steps they ran."""
        return self._members("r.entity_id", runs)

    def runs(self, steps: Iterable[int]) -> list[_Link]:
        """The same, from the steps' side."""
        return self._members("s.entity_id", steps)

    def _members(self, column: str, ids: Iterable[int]) -> list[_Link]:
        (known_run, values), (known_step, more) = self._moment.knows("r"), self._moment.knows("s")
        rows = self._reader.rows(
            "SELECT r.entity_id, 'ran', s.entity_id, s.created_position FROM entities r JOIN entities s"
            " ON s.project = r.project AND s.kind = 'step' AND s.run = r.name AND s.version = ''"
            f" WHERE r.kind = 'run' AND r.run = '' AND {column} IN (SELECT value FROM json_each(?))"
            f" AND {known_run} AND {known_step} ORDER BY s.entity_id LIMIT ?",
            (str(list(ids)), *values, *more, MAX_LINKS),
        )
        return self._all(rows)

    def upstream(self, ids: list[int], first: bool) -> list[_Link]:
        """Links against the flow of data. A run shows what its steps produced, too: a model was made with it."""
        ran = self.steps(ids)
        steps = [link.target for link in ran]
        return [
            *self.of(ids, "target", ("produced", "made")),
            *ran,
            *self.of(ids, "source", ("consumed", "used")),
            *self.of(steps, "source", ("produced",)),
        ]

    def downstream(self, ids: list[int], first: bool) -> list[_Link]:
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


class _Walk:
    """Breadth first from one entity: each node and each link once."""

    def __init__(self, root: int, max_nodes: int) -> None:
        self.nodes, self.links = {root: None}, dict[_Link, bool]()
        self.cut, self._max_nodes = False, max_nodes

    def add(self, found: list[_Link]) -> list[int]:
        """Take links up; the nodes that are new. A link is walked from the end that was known first."""
        fresh: list[int] = []
        for link in found:
            if link in self.links:
                continue
            forwards = link.source in self.nodes
            start, end = (link.source, link.target) if forwards else (link.target, link.source)
            if end not in self.nodes:
                if len(self.nodes) >= self._max_nodes or start not in self.nodes:
                    self.cut = True  # where `start` is missing, it was cut before
                    continue
                self.nodes[end] = None
                fresh.append(end)
            self.links[link] = forwards
        return fresh


def lineage(
    client: Lookup, root: int, moment: Moment, direction: Direction, depth: int | None, max_nodes: int
) -> Lineage:
    """See `Entity.upstream`; `root` is an entity ID of the view."""
    if (depth is not None and depth < 0) or max_nodes < 1:
        raise InvalidReferenceError(f"depth is 0 or more and max_nodes 1 or more, not {depth} and {max_nodes}")
    with client.reader.read():
        links, walk = _Links(client, moment), _Walk(root, max_nodes)
        read = links.upstream if direction == "upstream" else links.downstream
        edge, hops = [root], 0
        while edge and (depth is None or hops < depth):
            edge = walk.add(read(edge, hops == 0))
            hops += 1
        entities = dict(zip(walk.nodes, client.entities_of(list(walk.nodes), moment), strict=True))
    edges = [Edge(entities[link.source], link.relation, entities[link.target], link.position) for link in walk.links]
    walked = [
        Hop(edge.source, edge.relation, edge.target)
        if forwards
        else Hop(edge.target, BACKWARDS[edge.relation], edge.source)
        for edge, forwards in zip(edges, walk.links.values(), strict=True)
    ]
    return Lineage(list(entities.values()), edges, walked, direction, walk.cut or links.cut)


def linking(client: Lookup, target: int, moment: Moment, relations: Sequence[str]) -> list[Entity]:
    """Entities that relate to `target` in one of these ways, in the order in which it was said."""
    with client.reader.read():
        found = _Links(client, moment).of([target], "target", relations)
        return client.entities_of(list(dict.fromkeys(link.source for link in found)), moment)
