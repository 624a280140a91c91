"""`runlore export`: everything that was ever logged about entities, as lines of a file."""

from __future__ import annotations

from pathlib import Path
from typing import cast, get_args

import click

from runlore.cli.exporting import Shape, entries_of, lines_of, write_export
from runlore.cli.options import STDOUT, TargetType, data_dir_option, force_option, project_option, require_new
from runlore.cli.output import note, print_exact
from runlore.cli.reading import note_zone, open_client
from runlore.query.watch.selection import is_filter


@click.command()
@click.argument("what", metavar="REFERENCE|FILTER")
@click.option("--kind", help="With a FILTER: only entities of this kind.")
@click.option("--out", type=TargetType(dash=True), default=STDOUT, metavar="FILE", help="The file; else stdout.")
@click.option("--format", "shape", type=click.Choice(get_args(Shape)), default="jsonl", show_default=True)
@force_option
@project_option
@data_dir_option
def export(
    what: str, kind: str | None, out: Path, shape: str, force: bool, project: str | None, data_dir: Path | None
) -> None:
    """Write every entry that an entity ever had: values, notes, stages and all other fields, oldest first.

    A REFERENCE without a version means all versions, a run also its steps. A FILTER means the entities that match it
    now. Each line is a change as docs/json.md has it: key, value and type, the value before, position, times, author,
    run and step; what was erased or retracted says so. A FILE is for this user alone, and whole or not there.

    \b
    Examples:
      runlore export model:churn --out churn.jsonl
      runlore export "stage = 'archived'" --kind model --format csv --out archived.csv
    """
    if is_filter(what):
        note_zone((what,))
    with open_client(data_dir, project, exact=True) as client:
        if out == STDOUT:
            for line in lines_of(entries_of(client, what, kind), cast("Shape", shape)):
                print_exact(line)
            return
        require_new(out, force)
        count = write_export(client, what, out, cast("Shape", shape), kind)
    note(f"{count:,} entries were written to {out}")
