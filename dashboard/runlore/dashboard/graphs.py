"""Lineage as a graph: who stands where, and which lines join them. Data flows to the right."""

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
    """A box: the entity, its upper left corner, and whether the graph is about it."""

    entity: Entity
    x: int
    y: int
    root: bool


class Line(NamedTuple):
    """A curve between two boxes, as the `d` of an SVG path, and what it says."""

    path: str
    says: str
    low: int
    """How far down it goes, where it passes below boxes."""


Link = tuple[Entity, str, Entity]
Flow = tuple[Entity, Entity]


class Graph(NamedTuple):
    """Boxes and lines, and the size of the drawing."""

    nodes: list[Node]
    lines: list[Line]
    links: list[Link]
    """All of them, the ones that go without a line as well."""
    width: int
    height: int
    cut: bool
    box: tuple[int, int] = (NODE_WIDTH, NODE_HEIGHT)


def neighbours(entity: Entity) -> list[tuple[str, list[Entity]]]:
    """What an entity is directly joined to, with a word for each way."""
    found: list[tuple[str, list[Entity]]] = []
    match entity:
        case StepRun():
            run = _known(entity, f"run:{entity.run}")
            found = [("run", run), ("reads", entity.inputs), ("writes", entity.outputs)]
        case PipelineRun():
            found = [("models", entity.models)]
        case ModelVersion():
            found = [("made by", _known(entity, f"run:{entity.run}") if entity.run else [])]
        case ArtifactVersion():
            found = [("produced by", _known(entity, entity.produced_by) if entity.produced_by else [])]
            consumers = list[Entity](getattr(entity, "consumers", []))
            found.append(("read by", consumers))
        case _:
            found = []
    return [(word, items) for word, items in found if items]


def _known(entity: Entity, reference: str) -> list[Entity]:
    try:
        return [entity_at(entity.scope, reference)]
    except NotFoundError:
        return []


def graph_of(root: Entity, depth: int = DEPTH) -> Graph:
    """The surroundings of an entity: what it came from to the left, what came from it to the right."""
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
    """From where to where data flows along a link (see query/lineage.py)."""
    source, relation, target = link
    return (source, target) if relation in ("produced", "made") else (target, source)


def _columns(nodes: list[Entity], flows: list[Flow]) -> list[list[Entity]]:
    """Each node to the right of everything that flows into it, as near to what it flows into as that allows.

    A flow that would close a circle (a model that a run used and made) counts for nothing here.
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
    for node in reversed(ordered):  # a source moves to where it is needed
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
    """Every node after all that flow into it."""
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
    """Order each column by the mean place of its neighbours, there and back (Sugiyama's barycentre heuristic)."""
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
    lines = [
        _line(places[start], places[end], link, places.values())
        for link, (start, end) in flows.items()
        if not _goes_without_saying(link, out_of)
    ]
    width = len(columns) * (NODE_WIDTH + GAP_X) - GAP_X + 2 * MARGIN
    low = max((line.low for line in lines), default=0)
    return Graph(list(places.values()), lines, list(flows), width, max(height, low + MARGIN), cut)


def _goes_without_saying(link: Link, out_of: dict[Entity, list[Entity]]) -> bool:
    """Whether a step's line to its run would only repeat that what it wrote got there through other steps."""
    run, word, step = link
    return word == "ran" and any(_reaches(out_of, other, run) for other in out_of[step] if other != run)


def _line(start: Node, end: Node, link: Link, nodes: Iterable[Node]) -> Line:
    """A curve along the flow, from the right of a box to the left of another.

    Where boxes are in the way, or it is no way to the right, it passes below them.
    """
    says = f"{link[0].reference} {link[1]} {link[2].reference}"
    x1, x2 = start.x + NODE_WIDTH, end.x
    y1, y2 = start.y + NODE_HEIGHT // 2, end.y + NODE_HEIGHT // 2
    bend = GAP_X // 2 if x2 < x1 + NODE_WIDTH else GAP_X
    first, last = sorted((start.x, end.x))
    between = [node.y for node in nodes if first < node.x < last]
    if x2 > x1 and not between:
        middle = (x1 + x2) // 2
        return Line(f"M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}", says, 0)
    low = max([*between, start.y, end.y]) + NODE_HEIGHT + GAP_Y // 2
    down = f"C{x1 + bend} {y1} {x1} {low} {x1 + bend} {low}"
    up = f"C{x2} {low} {x2 - bend} {y2} {x2} {y2}"
    return Line(f"M{x1} {y1} {down} L{x2 - bend} {low} {up}", says, low)
