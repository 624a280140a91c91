"""The events that a bundle about entities holds, and what it says of those that it does not."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from runlore.projector.audit.trail import instances, positions_about, refused_about, successors
from runlore.query import Client, Entity
from runlore.query.lineage import MAX_NODES, Lineage
from runlore.schemas.references import EntityRef, parse_ref
from runlore.schemas.settings import Settings
from runlore.store.folder import DataDir

DEPTH = 3
"""Default: the links from a model version to the data that made it: its run, the run's steps, what they consumed."""
MAX_INSTANCES = 100
"""Versions of a name without one whose makers are looked up, the newest."""
MAX_REFUSED = 1000
"""Quarantined events in one bundle: anyone who may publish makes any number of them."""
MAX_RELATED = 5000
"""Relations that one bundle tells."""
_NAMED = 20
"""Entities that are named where others are only counted."""

_NEVER = (
    "what was made from these entities later: runlore lineage --downstream",
    "what runs and steps logged about entities that are not named here",
)


class Gathered(NamedTuple):
    """What goes into a bundle."""

    about: list[str]
    related: list[str]
    left_out: list[str]
    positions: list[int]
    """Of events in effect and of refused ones, ascending."""


class _Around:
    """The entities around those that were asked for."""

    def __init__(self, depth: int) -> None:
        self._depth = depth
        self.entities: dict[str, EntityRef] = {}
        self.lines: dict[str, None] = {}
        self.left_out: dict[str, None] = {}

    def add(self, entity: Entity, view: Path, project: str) -> None:
        found = entity.upstream(self._depth, MAX_NODES)
        for hop in found.hops:
            self.lines[f"{hop.start.reference} {hop.word} {hop.end.reference}"] = None
        for node in found.nodes[1:]:
            self.entities[node.reference] = parse_ref(node.reference)
        self.left_out.update(dict.fromkeys(self._beyond(entity, found)))
        for stage, successor in successors(view, project, parse_ref(entity.reference)):
            self.entities[str(successor)] = successor
            self.lines[f"{successor} took stage {stage} after {entity.reference}"] = None

    def _beyond(self, entity: Entity, found: Lineage[Entity]) -> Iterator[str]:
        if found.cut:
            yield f"what made {entity.reference}, beyond the nearest {MAX_NODES:,} entities"
            return
        known = {node.reference for node in found.nodes}
        further = entity.upstream(self._depth + 1, MAX_NODES).nodes
        names = [node.reference for node in further if node.reference not in known]
        if names:
            more = f" and {len(names) - _NAMED:,} more" if len(names) > _NAMED else ""
            yield f"beyond depth {self._depth}: {', '.join(names[:_NAMED])}{more}, and what made them"


def gather(settings: Settings, references: Sequence[EntityRef], depth: int) -> Gathered:
    """Collect the events about entities, about what made and replaced them, and those that were refused."""
    view, around = DataDir(settings.data_dir).current_view(), _Around(depth)
    about: list[EntityRef] = []
    with Client(settings.data_dir, settings.project) as client:
        for reference in references:
            meant = resolved(client, reference)
            about.append(meant)
            found = instances(view, settings.project, meant) if depth else []
            for instance in found[-MAX_INSTANCES:]:
                around.add(client.get(instance), view, settings.project)
            if len(found) > MAX_INSTANCES:
                text = f"what made and replaced the first {len(found) - MAX_INSTANCES:,} versions of {meant}"
                around.left_out[text] = None
    if not depth:
        around.left_out["what made and replaced these entities: --depth 0"] = None
    positions: set[int] = set()
    for one in {**around.entities, **{str(ref): ref for ref in about}}.values():
        positions.update(positions_about(view, settings.project, one))
    refused = refused_about(view, settings.project, about, positions)
    left_out = [*around.left_out, *_NEVER]
    if len(refused) > MAX_REFUSED:
        left_out.append(f"{len(refused) - MAX_REFUSED:,} refused events, after the first {MAX_REFUSED:,}")
    if len(around.lines) > MAX_RELATED:
        left_out.append(f"{len(around.lines) - MAX_RELATED:,} relations between its entities, after {MAX_RELATED:,}")
    return Gathered(
        list(map(str, about)),
        list(islice(around.lines, MAX_RELATED)),
        left_out,
        sorted(positions.union(refused[:MAX_REFUSED])),
    )


def resolved(client: Client, reference: EntityRef) -> EntityRef:
    """The same, with a selector (latest, a stage) or a run's prefix resolved."""
    if reference.kind == "run":
        return parse_ref(client.get_pipeline_run(reference.name).reference)
    return reference if reference.version is None else parse_ref(client.get(reference).reference)
