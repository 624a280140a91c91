"""`runlore compare`: several entities side by side."""

from __future__ import annotations

from pathlib import Path

import click

from runlore.cli.options import REFERENCE, data_dir_option, json_option, project_option
from runlore.cli.output import print_json
from runlore.cli.reading import When, as_of_option, entity_of, open_client
from runlore.cli.render_past import print_comparison
from runlore.query.compare.comparison import Best
from runlore.query.plain import plain
from runlore.schemas.references import EntityRef


@click.command()
@click.argument("references", type=REFERENCE, nargs=-1, required=True)
@click.option("--all", "all_rows", is_flag=True, help="Show keys that are equal, too.")
@click.option("--best", type=click.Choice(["max", "min"]), help="Mark the largest or smallest number of each key.")
@as_of_option
@json_option
@project_option
@data_dir_option
def compare(
    references: tuple[EntityRef, ...],
    all_rows: bool,
    best: Best | None,
    as_of: When | None,
    as_json: bool,
    project: str | None,
    data_dir: Path | None,
) -> None:
    """Compare the metadata of entities, key by key; differences come first.

    \b
    Examples:
      runlore compare model:churn@1 model:churn@2
      runlore compare run:RUN_1 run:RUN_2 --all --json
    """
    with open_client(data_dir, project, as_of) as client:
        entities = [entity_of(client, reference) for reference in references]
        comparison = client.compare(entities, best)
        if as_json:
            print_json(plain(comparison.to_dict()))
        else:
            print_comparison(comparison, all_rows)
