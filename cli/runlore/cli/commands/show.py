"""`runlore show`: one entity."""

from __future__ import annotations

from pathlib import Path

import click

from runlore.cli.options import REFERENCE, data_dir_option, json_option, project_option
from runlore.cli.output import print_json
from runlore.cli.reading import When, as_of_option, entity_of, open_client
from runlore.cli.render import print_entity
from runlore.query.records import whole_record
from runlore.schemas.references import EntityRef


@click.command()
@click.argument("reference", type=REFERENCE)
@as_of_option
@json_option
@project_option
@data_dir_option
def show(reference: EntityRef, as_of: When | None, as_json: bool, project: str | None, data_dir: Path | None) -> None:
    """Show an entity: its fields, and its metadata as cards.

    Without a version the latest is shown; a model's version may be a stage. A run may be given by its ID,
    name, pipeline (the last run) or the beginning of its ID.

    \b
    Examples:
      runlore show model:churn@production
      runlore show run:nightly --json
      runlore show artifact:processed_data --as-of 2026-03-01T18:00
    """
    with open_client(data_dir, project, as_of) as client:
        entity = entity_of(client, reference)
        if as_json:
            print_json(whole_record(entity))
        else:
            print_entity(entity)
