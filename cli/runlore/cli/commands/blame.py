"""`runlore blame`: the event that last set each key."""

from __future__ import annotations

from pathlib import Path

import click

from runlore.cli.options import REFERENCE, data_dir_option, json_option, project_option
from runlore.cli.output import print_json
from runlore.cli.reading import When, as_of_option, entity_of, open_client
from runlore.cli.render_past import print_blame
from runlore.query.records import entry_record
from runlore.schemas.references import EntityRef


@click.command()
@click.argument("reference", type=REFERENCE)
@click.option("--ended", is_flag=True, help="Also keys that no longer hold: how they ended, and why.")
@as_of_option
@json_option
@project_option
@data_dir_option
def blame(
    reference: EntityRef,
    ended: bool,
    as_of: When | None,
    as_json: bool,
    project: str | None,
    data_dir: Path | None,
) -> None:
    """Show for each key of an entity who last set it, when, from where, and in which event.

    \b
    Examples:
      runlore blame model:churn@3
      runlore blame model:churn@3 --ended --as-of "2h ago" --json
    """
    with open_client(data_dir, project, as_of) as client:
        entity = entity_of(client, reference)
        found = entity.blame(ended)
        if as_json:
            entries = [entry_record(entry) for entry in found]
            print_json({"reference": entity.reference, "position": found.position, "entries": entries})
        else:
            print_blame(found, entity.reference, client.scope.clock)
