"""`runlore lineage`: what an entity was made from, and what was made from it."""

from __future__ import annotations

from pathlib import Path

import click

from runlore.cli.options import COUNT, POSITION, REFERENCE, data_dir_option, json_option, project_option
from runlore.cli.output import note, print_json, print_line
from runlore.cli.reading import When, as_of_option, entity_of, open_client
from runlore.cli.render import text
from runlore.query import Entity, Lineage
from runlore.query.lineage import MAX_NODES
from runlore.schemas.references import EntityRef


@click.command()
@click.argument("reference", type=REFERENCE)
@click.option("--upstream", is_flag=True, help="What it was made from (default).")
@click.option("--downstream", is_flag=True, help="What was made from it.")
@click.option("--both", is_flag=True, help="The one, then the other.")
@click.option("--depth", type=POSITION, metavar="N", help="At most N links far.")
@click.option("--max-nodes", type=COUNT, default=MAX_NODES, show_default=True, help="Maximum number of entities.")
@as_of_option
@json_option
@project_option
@data_dir_option
def lineage(
    reference: EntityRef,
    upstream: bool,
    downstream: bool,
    both: bool,
    depth: int | None,
    max_nodes: int,
    as_of: When | None,
    as_json: bool,
    project: str | None,
    data_dir: Path | None,
) -> None:
    """Show as a tree what an entity was made from: the steps, the artifacts they consumed, and so on.

    A step or artifact that the tree has shown before is marked (above).

    \b
    Examples:
      runlore lineage model:churn@production
      runlore lineage artifact:raw@1 --downstream --depth 2
      runlore lineage run:nightly --both --json
    """
    both = both or (upstream and downstream)
    with open_client(data_dir, project, as_of) as client:
        entity = entity_of(client, reference)
        ways = [entity.upstream, entity.downstream] if both else [entity.downstream if downstream else entity.upstream]
        found = [walk(depth, max_nodes) for walk in ways]
    if as_json:
        print_json({one.direction: one.to_dict() for one in found} if both else found[0].to_dict())
        return
    for one in found:
        if both:
            print_line(f"# {one.direction}")
        _print_tree(one)


def _print_tree(found: Lineage[Entity]) -> None:
    for level, word, entity, again in found.tree():
        print_line(text(entity.reference) + (" (above)" if again else ""), "  " * level, word)
    if found.cut:
        note(f"only the nearest {len(found.nodes)} entities are shown: see --max-nodes")
