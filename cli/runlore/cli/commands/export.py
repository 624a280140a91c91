"""`runlore export`: everything that was ever logged about entities, or a document about one for other tools."""

from __future__ import annotations

from pathlib import Path
from typing import cast, get_args

import click

from runlore.cli.exporting import Shape, Wanted, entries_of, lines_of, whole_file, write_export
from runlore.cli.options import POSITION, STDOUT, TargetType, data_dir_option, force_option, project_option, require_new
from runlore.cli.output import note, print_exact
from runlore.cli.reading import When, as_of_option, note_zone, open_client
from runlore.integrations.exports.documents import Document, document
from runlore.query import Client
from runlore.query.watch.selection import is_filter


@click.command()
@click.argument("what", metavar="[REFERENCE|FILTER]", required=False)
@click.option("--kind", help="Only entities of this kind.")
@click.option(
    "--after", type=POSITION, default=0, metavar="EVENT", help="Only what later events logged: the next part."
)
@click.option("--out", type=TargetType(dash=True), default=STDOUT, metavar="FILE", help="The file; else stdout.")
@click.option(
    "--format",
    "shape",
    type=click.Choice([*get_args(Shape), *get_args(Document)]),
    default="jsonl",
    show_default=True,
    help="Lines (jsonl, csv), a table (parquet), or a document about one version.",
)
@force_option
@as_of_option
@project_option
@data_dir_option
def export(
    what: str | None,
    kind: str | None,
    after: int,
    out: Path,
    shape: str,
    force: bool,
    as_of: When | None,
    project: str | None,
    data_dir: Path | None,
) -> None:
    """Write every entry that an entity ever had: values, notes, stages and all other fields, oldest first.

    A REFERENCE without a version means all versions, a run also its steps. A FILTER means the entities that match it
    now. Without either everything in the project is written, in the order of the log, and the event that it is complete
    to is printed: with --after that event the next export goes on.

    Each line is a change as docs/json.md has it: key, value and type, the value before, position, times, author, run
    and step; what was erased or retracted says so. A FILE is for this user alone, and whole or not there. Parquet has
    the same as typed columns, numbers also as numbers (pip install pyarrow).

    The formats mlbom, modelcard and provenance are documents about one version that other tools read: a CycloneDX
    ML-BOM, a model card for the Hugging Face Hub, an in-toto statement with SLSA provenance and proofs.

    \b
    Examples:
      runlore export model:churn --out churn.jsonl
      runlore export --format parquet --out all.parquet
      runlore export --after 51200 --format parquet --out new.parquet
      runlore export "stage = 'archived'" --kind model --format csv --out archived.csv
      runlore export model:churn@3 --format mlbom --out churn.cdx.json
    """
    if what is not None and is_filter(what):
        note_zone((what,))
    if shape == "parquet" and out == STDOUT:
        raise click.UsageError("--format parquet needs --out FILE")
    if out != STDOUT:
        require_new(out, force)
    with open_client(data_dir, project, as_of, exact=True) as client:
        if shape in get_args(Document):
            if what is None:
                raise click.UsageError(f"--format {shape} is about one version: name it")
            _write_document(client, what, cast("Document", shape), out)
        else:
            position = client.position
            _write_entries(client, Wanted(what, kind, after, position), cast("Shape", shape), out)
            if what is None:
                note(f"complete to event {position}: go on with --after {position}")


def _write_entries(client: Client, wanted: Wanted, shape: Shape, out: Path) -> None:
    if out == STDOUT:
        for line in lines_of(entries_of(client, wanted), shape):
            print_exact(line)
        return
    count = write_export(client, wanted, out, shape)
    note(f"{count:,} entries were written to {out}")


def _write_document(client: Client, what: str, kind: Document, out: Path) -> None:
    text, subject = document(client, what, kind)
    if subject.unproved is not None:
        note(f"without a checkpoint: {subject.unproved}")
    if out == STDOUT:
        print_exact(text)
        return
    with whole_file(out) as file:
        file.write(text.encode())
