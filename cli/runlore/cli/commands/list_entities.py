"""`runlore list`: the entities of a kind."""

from __future__ import annotations

from pathlib import Path

import click

from runlore.cli.options import COUNT, data_dir_option, json_option, project_option
from runlore.cli.output import print_json, print_table
from runlore.cli.reading import When, as_of_option, clock_of_context, note_unknown_kind, open_client
from runlore.cli.render import text, when
from runlore.query.records import entity_record


@click.command("list")
@click.argument("kind", required=False)
@click.option("--name", help="Only versions of this name.")
@click.option("-n", "--limit", type=COUNT, default=50, show_default=True, help="Maximum number of results.")
@click.option("--before", type=COUNT, metavar="EVENT", help="The next page: created before this event.")
@as_of_option
@json_option
@project_option
@data_dir_option
def list_entities(
    kind: str | None,
    name: str | None,
    limit: int,
    before: int | None,
    as_of: When | None,
    as_json: bool,
    project: str | None,
    data_dir: Path | None,
) -> None:
    """List entities of a KIND (run, step, model, artifact, ...), newest first; without one, the kinds there are.

    \b
    Examples:
      runlore list
      runlore list run -n 10
      runlore list model --name churn --json
    """
    if as_of is None and clock_of_context() == "occurred":
        raise click.UsageError("--as-of-clock occurred needs --as-of TIME")
    with open_client(data_dir, project, as_of) as client:
        if kind is None:
            kinds = client.list_kinds()
            if as_json:
                print_json(kinds)
            else:
                print_table(("kind", "entities"), [(text(key), str(count)) for key, count in kinds.items()])
            return
        found = [(entity, entity.fields) for entity in client.list_entities(kind, name, limit, before)]
        if not found:
            note_unknown_kind(client, kind)
        if as_json:
            print_json([entity_record(entity) for entity, _ in found])
            return
        rows = [
            (text(e.reference), when(e.created), str(e.created_position), text(f.get("status") or f.get("stage") or ""))
            for e, f in found
        ]
        print_table(("entity", "created", "event", "status or stage"), rows)
