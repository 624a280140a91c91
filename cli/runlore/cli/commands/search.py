"""`runlore search`: words in names, keys and texts."""

from __future__ import annotations

from pathlib import Path

import click

from runlore.cli.options import COUNT, data_dir_option, json_option, project_option
from runlore.cli.output import note, print_json, print_table
from runlore.cli.reading import open_client
from runlore.cli.render import text


@click.command()
@click.argument("words", metavar="TEXT...", nargs=-1, required=True)
@click.option("--kind", help="Only entities of this kind.")
@click.option("-n", "--limit", type=COUNT, default=50, show_default=True, help="Maximum number of results.")
@json_option
@project_option
@data_dir_option
def search(
    words: tuple[str, ...], kind: str | None, limit: int, as_json: bool, project: str | None, data_dir: Path | None
) -> None:
    """Search current names, keys and text values. All words must occur in one of them; the last may be a prefix.

    \b
    Examples:
      runlore search churn
      runlore search evaluation_metrics.accuracy --kind model
      runlore search "out of memory" -n 10 --json
    """
    with open_client(data_dir, project) as client:
        found = client.search(" ".join(words), kind, limit)
        behind = client.position - found.position
    if as_json:
        hits = [
            {"reference": hit.entity.reference, "scope": hit.scope, "path": hit.path, "snippet": hit.snippet}
            | {"score": hit.score}
            for hit in found
        ]
        print_json({"position": found.position, "hits": hits})
        return
    rows = [(text(hit.entity.reference), hit.scope, text(hit.path or ""), text(hit.snippet)) for hit in found]
    print_table(("entity", "in", "path", "text"), rows)
    if behind > 0:
        note(f"the last {behind:,} events are not indexed yet")
