"""`runlore history`: every value a key ever had."""

from __future__ import annotations

from pathlib import Path

import click

from runlore.cli.options import COUNT, POSITION, REFERENCE, data_dir_option, json_option, project_option
from runlore.cli.output import print_json
from runlore.cli.reading import WHEN, When, as_of_option, entity_of, open_client
from runlore.cli.render_past import print_history
from runlore.query.records import entry_record
from runlore.schemas.references import EntityRef


@click.command()
@click.argument("reference", type=REFERENCE)
@click.argument("key")
@click.option("-n", "--lines", type=COUNT, help="Only the newest N entries; with --after, the next N.")
@click.option("--since", type=WHEN, metavar="WHEN", help="Only entries from this event number or time on.")
@click.option("--until", type=WHEN, metavar="WHEN", help="Only entries up to this event number or time.")
@click.option("--after", type=POSITION, metavar="EVENT", help="The next page: after this event.")
@click.option("--before", type=COUNT, metavar="EVENT", help="The previous page: before this event.")
@click.option("--newest-first", is_flag=True, help="The newest entry on top.")
@as_of_option
@json_option
@project_option
@data_dir_option
def history(
    reference: EntityRef,
    key: str,
    lines: int | None,
    since: When | None,
    until: When | None,
    after: int | None,
    before: int | None,
    newest_first: bool,
    as_of: When | None,
    as_json: bool,
    project: str | None,
    data_dir: Path | None,
) -> None:
    """Show every value of a key, group or path (metrics.accuracy), oldest first: when, by whom, from where.

    What was retracted or removed stays, with the reason. Fields (stage, stage_reason, note, status) have a history
    too, unless a key of that name was logged. WHEN is an event number, an ISO time or a phrase.

    \b
    Examples:
      runlore history model:churn evaluation_metrics.accuracy
      runlore history model:churn threshold --since "yesterday 18:00" --newest-first
      runlore history step:RUN_ID/train loss -n 20 --json
    """
    with open_client(data_dir, project, as_of) as client:
        entity = entity_of(client, reference)
        found = entity.history(key, lines, since, until=until, after=after, before=before, newest_first=newest_first)
        if as_json:
            print_json([entry_record(entry) for entry in found])
        else:
            print_history(found, f"{entity.reference}  {key}", client.scope.clock)
