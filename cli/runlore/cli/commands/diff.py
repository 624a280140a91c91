"""`runlore diff`: what changed between two entities, or in one."""

from __future__ import annotations

from pathlib import Path

import click

from runlore.cli.options import REFERENCE, data_dir_option, json_option, project_option
from runlore.cli.output import print_json
from runlore.cli.reading import WHEN, When, as_of_option, entity_of, open_client
from runlore.cli.render_past import print_differences
from runlore.query import Entity
from runlore.query.records import differences_record
from runlore.schemas.references import EntityRef


@click.command()
@click.argument("first", metavar="A", type=REFERENCE)
@click.argument("second", metavar="[B]", type=REFERENCE, required=False)
@click.option("--from", "since", type=WHEN, metavar="WHEN", help="A as of this event number or time.")
@click.option("--to", "until", type=WHEN, metavar="WHEN", help="B (else A) as of this event number or time.")
@click.option("--all", "all_rows", is_flag=True, help="Show keys that are equal, too.")
@as_of_option
@json_option
@project_option
@data_dir_option
def diff(
    first: EntityRef,
    second: EntityRef | None,
    since: When | None,
    until: When | None,
    all_rows: bool,
    as_of: When | None,
    as_json: bool,
    project: str | None,
    data_dir: Path | None,
) -> None:
    """Show what was added (+), removed (-) and changed (~) between A and B, or in A between two moments.

    With B, each is looked up as of its own moment, so that a stage may mean two versions:
    `diff model:churn@production model:churn@production --from monday`. Without B both sides are the same version.

    \b
    Examples:
      runlore diff model:churn@2 model:churn@3
      runlore diff model:churn@3 --from "yesterday 18:00" --to "2h ago"
    """
    if second is None and since is None:
        raise click.UsageError("give a second entity, or --from WHEN")
    with open_client(data_dir, project, as_of) as client:
        before: EntityRef | Entity = first
        after: EntityRef | Entity | None = second
        # Runs have more names than references: those are looked up here, as of the end.
        if first.kind == "run":
            before = entity_of(client, first)
        if second is not None and second.kind == "run":
            after = entity_of(client, second)
        found = client.diff(before, after, since, until)
        if as_json:
            print_json(differences_record(found))
        else:
            print_differences(found, all_rows)
