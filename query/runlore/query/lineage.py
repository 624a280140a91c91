"""Lineage: what an entity was made from, and what was made from it.

Data flows along links: an artifact version that a step consumed → the step → the artifact versions it produced, and
step → its run → the model versions that the run made. A model version that a run used flows into the run.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Generic, Literal, NamedTuple, Protocol, TypeVar

from runlore.query.scope import Scope
from runlore.query.view.links import Link, Links, Relation
from runlore.schemas.errors import ArgumentError

MAX_NODES = 1000
Direction = Literal["upstream", "downstream"]

BACKWARDS: dict[Relation, str] = {
    "produced": "produced by",
    "consumed": "consumed by",
    "made": "made by",
    "used": "used by",
    "ran": "ran in",
}
"""Names of relations as seen from the target."""


class Node(Protocol):
    """A node of a lineage: an `Entity`."""

    reference: str


AnyNode = TypeVar("AnyNode", bound=Node)


class Edge(NamedTuple, Generic[AnyNode]):
    """`source` produced or consumed (a step), made, used or ran (a run) `target`; since event `position`."""

    source: AnyNode
    relation: Relation
    target: AnyNode
    position: int


class Hop(NamedTuple, Generic[AnyNode]):
    """An edge in the direction in which it was walked: `word` leads from `start` to `end`."""

    start: AnyNode
    word: str
    end: AnyNode


class Lineage(Generic[AnyNode]):
    """Entities (`nodes`, each once, the nearest first) and the links between them, from `root` on."""

    def __init__(
        self,
        nodes: list[AnyNode],
        edges: list[Edge[AnyNode]],
        hops: list[Hop[AnyNode]],
        direction: Direction,
        cut: bool,
    ) -> None:
        self.root, self.nodes, self.edges, self.direction = nodes[0], nodes, edges, direction
        self.hops = hops
        """Every edge as it was walked, in that order."""
        self.cut = cut
        """True if there is more than the wanted number of nodes."""

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

    def tree(self) -> Iterator[tuple[int, str, AnyNode, bool]]:
        """As an indented tree: level, relation word, entity, and whether its own branches were shown above."""
        branches: dict[AnyNode, list[Hop[AnyNode]]] = {}
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


class _Walk:
    """Breadth first from one entity: each node and each link once."""

    def __init__(self, root: int, max_nodes: int) -> None:
        self.nodes, self.links = {root: None}, dict[Link, bool]()
        self.cut, self._max_nodes = False, max_nodes

    def add(self, found: list[Link]) -> list[int]:
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
    scope: Scope,
    root: int,
    direction: Direction,
    depth: int | None,
    max_nodes: int,
    entities_of: Callable[[Sequence[int]], list[AnyNode]],
) -> Lineage[AnyNode]:
    """See `Entity.upstream`; `root` is an entity ID of the view, `entities_of` makes entities of such IDs."""
    if (depth is not None and depth < 0) or max_nodes < 1:
        raise ArgumentError(f"depth is 0 or more and max_nodes 1 or more, not {depth} and {max_nodes}")
    with scope.reader.read():
        links, walk = Links(scope.reader, scope.moment), _Walk(root, max_nodes)
        level, hops = [root], 0
        while level and (depth is None or hops < depth):
            found = links.upstream(level) if direction == "upstream" else links.downstream(level, hops == 0)
            level = walk.add(found)
            hops += 1
        entities = dict(zip(walk.nodes, entities_of(list(walk.nodes)), strict=True))
    edges = [Edge(entities[link.source], link.relation, entities[link.target], link.position) for link in walk.links]
    walked = [
        Hop(edge.source, edge.relation, edge.target)
        if forwards
        else Hop(edge.target, BACKWARDS[edge.relation], edge.source)
        for edge, forwards in zip(edges, walk.links.values(), strict=True)
    ]
    return Lineage(list(entities.values()), edges, walked, direction, walk.cut or links.cut)
