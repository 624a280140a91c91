"""Lineage graphs: positions of boxes and the lines between them. Data flows to the right."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import NamedTuple

from runlore.query import ArtifactVersion, Entity, ModelVersion, PipelineRun, StepRun
from runlore.query.lookup import entity_at
from runlore.schemas.errors import NotFoundError

NODE_WIDTH, NODE_HEIGHT = 176, 40
GAP_X, GAP_Y = 48, 14
MARGIN = 6
DEPTH, MAX_NODES = 3, 60


class Node(NamedTuple):
    """A box: its entity, its upper left corner in pixels, and whether the graph is about it."""

    entity: Entity
    x: int
    y: int
    root: bool


class Edge(NamedTuple):
    """A curve between two boxes: the `d` of its SVG path, and its title."""

    path: str
    title: str
    low: int
    """Lowest y, in pixels, where it passes below boxes; else 0."""


Link = tuple[Entity, str, Entity]
"""Source, relation and target, as lineage records them."""
Flow = tuple[Entity, Entity]
"""The source and the target of data."""


class Graph(NamedTuple):
    """Boxes and lines, and the size of the drawing in pixels."""

    nodes: list[Node]
    edges: list[Edge]
    links: list[Link]
    """All links, also those without a line."""
    width: int
    height: int
    cut: bool
    box: tuple[int, int] = (NODE_WIDTH, NODE_HEIGHT)


def neighbours(entity: Entity) -> list[tuple[str, list[Entity]]]:
    """Return the entities that an entity is directly linked to, by relation."""
    found: list[tuple[str, list[Entity]]] = []
    match entity:
        case StepRun():
            run = _known(entity, f"run:{entity.run}")
            found = [("run", run), ("inputs", entity.inputs), ("outputs", entity.outputs)]
        case PipelineRun():
            found = [("models", entity.models)]
        case ModelVersion():
            found = [("created by", _known(entity, f"run:{entity.run}") if entity.run else [])]
        case ArtifactVersion():
            found = [("produced by", _known(entity, entity.produced_by) if entity.produced_by else [])]
            consumers = list[Entity](getattr(entity, "consumers", []))
            found.append(("consumed by", consumers))
        case _:
            found = []
    return [(word, items) for word, items in found if items]


def _known(entity: Entity, reference: str) -> list[Entity]:
    try:
        return [entity_at(entity.scope, reference)]
    except NotFoundError:
        return []


def graph_of(root: Entity, depth: int = DEPTH) -> Graph:
    """Return the lineage around an entity: its sources to the left, its results to the right."""
    links: dict[Link, None] = {}
    nodes: dict[Entity, None] = {root: None}
    cut = False
    for found in (root.upstream(depth, MAX_NODES), root.downstream(depth, MAX_NODES)):
        cut |= found.cut
        nodes |= dict.fromkeys(found.nodes)
        links |= dict.fromkeys((edge.source, edge.relation, edge.target) for edge in found.edges)
    flows = {link: _flow(link) for link in links}
    columns = _columns(list(nodes), list(flows.values()))
    return _drawn(root, columns, flows, cut)


def _flow(link: Link) -> Flow:
    """Return the direction in which data flows along a link (see query/lineage.py)."""
    source, relation, target = link
    return (source, target) if relation in ("produced", "made") else (target, source)


def _columns(nodes: list[Entity], flows: list[Flow]) -> list[list[Entity]]:
    """Return columns of nodes: each node to the right of all its sources, and as close to its targets as possible.

    A flow that would close a circle (a model that a run used and made) is ignored here.
    """
    into: dict[Entity, list[Entity]] = defaultdict(list)
    out_of: dict[Entity, list[Entity]] = defaultdict(list)
    for start, end in flows:
        if start != end and not _reaches(out_of, end, start):
            into[end].append(start)
            out_of[start].append(end)
    levels: dict[Entity, int] = {}
    ordered = _sorted_by_flow(nodes, into)
    for node in ordered:
        levels[node] = max((levels[start] + 1 for start in into[node]), default=0)
    for node in reversed(ordered):  # a source moves next to its first target
        if out_of[node]:
            levels[node] = min(levels[end] for end in out_of[node]) - 1
    columns: dict[int, list[Entity]] = defaultdict(list)
    for node in nodes:
        columns[levels[node]].append(node)
    found = [columns[level] for level in sorted(columns)]
    _untangle(found, into, out_of)
    return found


def _reaches(out_of: dict[Entity, list[Entity]], start: Entity, end: Entity) -> bool:
    seen, waiting = {start}, [start]
    while waiting:
        node = waiting.pop()
        if node == end:
            return True
        waiting += [following for following in out_of.get(node, ()) if following not in seen]
        seen.update(out_of.get(node, ()))
    return False


def _sorted_by_flow(nodes: list[Entity], into: dict[Entity, list[Entity]]) -> list[Entity]:
    """Return the nodes in topological order: every node after its sources."""
    found: dict[Entity, None] = {}
    waiting = list(reversed(nodes))
    while waiting:
        node = waiting[-1]
        missing = [start for start in into[node] if start not in found]
        if missing:
            waiting += missing
        else:
            found[waiting.pop()] = None
    return list(found)


def _untangle(
    columns: list[list[Entity]], into: dict[Entity, list[Entity]], out_of: dict[Entity, list[Entity]]
) -> None:
    """Order each column by the mean position of its neighbours (Sugiyama's barycentre heuristic)."""
    for order, beside in ((columns, into), (columns[::-1], out_of), (columns, into)):
        places: dict[Entity, float] = {}
        for column in order:
            means: dict[Entity, float] = {}
            for row, node in enumerate(column):
                near = [places[other] for other in beside[node] if other in places]
                means[node] = sum(near) / len(near) if near else (row + 0.5) / len(column)
            column.sort(key=means.__getitem__)
            places |= {node: (row + 0.5) / len(column) for row, node in enumerate(column)}


def _drawn(root: Entity, columns: list[list[Entity]], flows: dict[Link, Flow], cut: bool) -> Graph:
    tallest = max(len(column) for column in columns)
    height = tallest * (NODE_HEIGHT + GAP_Y) - GAP_Y + 2 * MARGIN
    places: dict[Entity, Node] = {}
    for place, column in enumerate(columns):
        top = (height - len(column) * (NODE_HEIGHT + GAP_Y) + GAP_Y) // 2
        for row, entity in enumerate(column):
            x, y = MARGIN + place * (NODE_WIDTH + GAP_X), top + row * (NODE_HEIGHT + GAP_Y)
            places[entity] = Node(entity, x, y, entity == root)
    out_of: dict[Entity, list[Entity]] = defaultdict(list)
    for start, end in flows.values():
        out_of[start].append(end)
    edges = [
        _edge(places[start], places[end], link, places.values())
        for link, (start, end) in flows.items()
        if not _redundant(link, out_of)
    ]
    width = len(columns) * (NODE_WIDTH + GAP_X) - GAP_X + 2 * MARGIN
    low = max((edge.low for edge in edges), default=0)
    return Graph(list(places.values()), edges, list(flows), width, max(height, low + MARGIN), cut)


def _redundant(link: Link, out_of: dict[Entity, list[Entity]]) -> bool:
    """Return True for a step's line to its run if the step's outputs reach the run through other steps."""
    run, word, step = link
    return word == "ran" and any(_reaches(out_of, other, run) for other in out_of[step] if other != run)


def _edge(start: Node, end: Node, link: Link, nodes: Iterable[Node]) -> Edge:
    """Return a curve along the flow, from the right side of a box to the left side of another.

    It passes below boxes that are in between, and below its own two if the target is not further right.
    """
    title = f"{link[0].reference} {link[1]} {link[2].reference}"
    x1, x2 = start.x + NODE_WIDTH, end.x
    y1, y2 = start.y + NODE_HEIGHT // 2, end.y + NODE_HEIGHT // 2
    bend = GAP_X // 2 if x2 < x1 + NODE_WIDTH else GAP_X
    first, last = sorted((start.x, end.x))
    between = [node.y for node in nodes if first < node.x < last]
    if x2 > x1 and not between:
        middle = (x1 + x2) // 2
        return Edge(f"M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}", title, 0)
    low = max([*between, start.y, end.y]) + NODE_HEIGHT + GAP_Y // 2
    down = f"C{x1 + bend} {y1} {x1} {low} {x1 + bend} {low}"
    up = f"C{x2} {low} {x2 - bend} {y2} {x2} {y2}"
    return Edge(f"M{x1} {y1} {down} L{x2 - bend} {low} {up}", title, low)
