"""`runlore rebuild`: make the view again from log.db."""

from __future__ import annotations

import time
from pathlib import Path

import click

from runlore.cli.options import data_dir_option, json_option, settings_for
from runlore.cli.output import note, print_json, print_line
from runlore.cli.progress import progress_bar
from runlore.projector import rebuild_view
from runlore.projector.views.generations import remove_old_views
from runlore.store.folder import DataDir


@click.command()
@click.option("--compare/--no-compare", default=True, show_default=True, help="Compare with the view it replaces.")
@json_option
@data_dir_option
def rebuild(compare: bool, as_json: bool, data_dir: Path | None) -> None:
    """Rebuild the view from log.db, beside the live one, and switch to it.

    The projector may run meanwhile, and readers go on: they see neither an error nor an older position. Killed at any
    moment it leaves the live view as it is. If the old view did not agree with the log, the tables are named.

    \b
    Example:
      runlore rebuild
    """
    data = DataDir(settings_for(data_dir).data_dir)
    started = time.monotonic()
    with progress_bar("folding") as progress:
        made = rebuild_view(data, progress, compare)
    removed = remove_old_views(data)
    seconds = time.monotonic() - started
    if as_json:
        print_json(
            {
                "view": made.path.name,
                "position": made.position,
                "seconds": round(seconds, 3),
                "differing": made.differing,
                "removed": [path.name for path in removed],
            }
        )
        return
    print_line(f"{made.path.name} is live, up to event {made.position:,}, after {seconds:.1f} s")
    if made.differing:
        note(f"the old view did not agree with the log; it differed in: {', '.join(made.differing)}. It is replaced")
    elif made.differing is not None:
        note("the old view was the same, by the digest of every table")
