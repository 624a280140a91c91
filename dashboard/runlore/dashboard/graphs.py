"""Lineage as a graph: who stands where, and which lines join them."""

from __future__ import annotations

from typing import NamedTuple

from runlore.query import ArtifactVersion, Entity, ModelVersion, PipelineRun, StepRun
from runlore.schemas.errors import NotFoundError

NODE_WIDTH, NODE_HEIGHT = 190, 40
GAP_X, GAP_Y = 70, 14
MARGIN = 6
DEPTH, MAX_NODES = 3, 60


class Node(NamedTuple):
    """A box: the entity, its upper left corner, and whether the graph is about it."""

    entity: Entity
    x: int
    y: int
    root: bool


class Line(NamedTuple):
    """A curve between two boxes, as the `d` of an SVG path; `word` says the relation."""

    path: str
    word: str
    source: str
    target: str


class Graph(NamedTuple):
    """Boxes and lines, and the size of the drawing."""

    nodes: list[Node]
    lines: list[Line]
    width: int
    height: int
    cut: bool


Link = tuple[Entity, str, Entity]


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
        return [entity.client.at(reference, entity.moment)]
    except NotFoundError:
        return []


def graph_of(root: Entity, depth: int = DEPTH) -> Graph:
    """The surroundings of an entity: what it came from to the left, what came from it to the right."""
    levels: dict[Entity, int] = {root: 0}
    links: dict[Link, None] = {}
    cut = False
    for side, found in ((-1, root.upstream(depth, MAX_NODES)), (1, root.downstream(depth, MAX_NODES))):
        cut |= found.cut
        for hop in found.hops:  # as it was walked, the nearest first: `start` has its level already
            levels.setdefault(hop.end, levels.get(hop.start, 0) + side)
        links |= dict.fromkeys((edge.source, edge.relation, edge.target) for edge in found.edges)
    return _drawn(root, levels, list(links), cut)


def _drawn(root: Entity, levels: dict[Entity, int], links: list[Link], cut: bool) -> Graph:
    columns: dict[int, list[Entity]] = {}
    for entity, level in levels.items():
        columns.setdefault(level, []).append(entity)
    tallest = max(len(column) for column in columns.values())
    height = tallest * (NODE_HEIGHT + GAP_Y) - GAP_Y + 2 * MARGIN
    places: dict[Entity, Node] = {}
    for place, level in enumerate(sorted(columns)):
        column = columns[level]
        top = (height - len(column) * (NODE_HEIGHT + GAP_Y) + GAP_Y) // 2
        for row, entity in enumerate(column):
            x, y = MARGIN + place * (NODE_WIDTH + GAP_X), top + row * (NODE_HEIGHT + GAP_Y)
            places[entity] = Node(entity, x, y, entity == root)
    lines = [_line(places[source], word, places[target]) for source, word, target in links]
    width = len(columns) * (NODE_WIDTH + GAP_X) - GAP_X + 2 * MARGIN
    return Graph(list(places.values()), lines, width, height, cut)


def _line(source: Node, word: str, target: Node) -> Line:
    """A curve from a box's side to another's, on the sides that face each other."""
    forwards = source.x <= target.x
    x1, x2 = (source.x + NODE_WIDTH, target.x) if forwards else (source.x, target.x + NODE_WIDTH)
    y1, y2 = source.y + NODE_HEIGHT // 2, target.y + NODE_HEIGHT // 2
    if source.x == target.x:  # in one column: a bow at the right
        x2 = x1
        bend = x1 + GAP_X // 2
        path = f"M{x1} {y1} C{bend} {y1} {bend} {y2} {x2} {y2}"
    else:
        middle = (x1 + x2) // 2
        path = f"M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}"
    return Line(path, word, source.entity.reference, target.entity.reference)
