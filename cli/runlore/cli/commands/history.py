"""`runlore history`: every value a key ever had."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import click

from runlore.cli.options import REFERENCE, data_dir_option, json_option, project_option
from runlore.cli.output import print_json
from runlore.cli.reading import as_of_option, open_client
from runlore.cli.render import json_entry, print_history
from runlore.schemas.references import EntityRef


@click.command()
@click.argument("reference", type=REFERENCE)
@click.argument("key")
@click.option("-n", "--lines", type=click.IntRange(1), help="Only the newest N entries.")
@as_of_option
@json_option
@project_option
@data_dir_option
def history(
    reference: EntityRef,
    key: str,
    lines: int | None,
    as_of: int | dt.datetime | None,
    as_json: bool,
    project: str | None,
    data_dir: Path | None,
) -> None:
    """Show every value of a key, group or leaf (metrics.accuracy), oldest first: what, when, who, from where.

    \b
    Examples:
      runlore history model:churn evaluation_metrics.accuracy
      runlore history step:RUN_ID/train loss -n 20 --json
    """
    with open_client(data_dir, project, as_of) as client:
        entity = client.get_pipeline_run(reference.name) if reference.kind == "run" else client.get(reference)
        entries = entity.history(key, limit=lines)
        if as_json:
            print_json([json_entry(entry) for entry in entries])
        else:
            print_history(entries, f"{entity.reference}  {key}")
