"""`runlore export`: documents about a model for other tools."""

from __future__ import annotations

import os
from pathlib import Path
from typing import cast, get_args

import click

from runlore.cli.options import STDOUT, TargetType, data_dir_option, force_option, project_option, require_new
from runlore.cli.output import note, print_exact
from runlore.cli.reading import When, as_of_option, open_client
from runlore.integrations.exports.documents import Document, document
from runlore.store.ownership import open_private


@click.command()
@click.argument("what", metavar="REFERENCE")
@click.option("--format", "shape", type=click.Choice(get_args(Document)), required=True)
@click.option("--out", type=TargetType(dash=True), default=STDOUT, metavar="FILE", help="The file; else stdout.")
@force_option
@as_of_option
@project_option
@data_dir_option
def export(
    what: str,
    shape: str,
    out: Path,
    force: bool,
    as_of: When | None,
    project: str | None,
    data_dir: Path | None,
) -> None:
    """Write what the log knows about a model version as a document that other tools read.

    mlbom: a CycloneDX ML-BOM with its model card. modelcard: a model card for the Hugging Face Hub. provenance: an
    in-toto statement with SLSA provenance, the newest checkpoint, and the proof of each event.

    \b
    Examples:
      runlore export model:churn@3 --format mlbom --out churn.cdx.json
      runlore export model:churn@production --format modelcard --out README.md
      runlore export model:churn@3 --format provenance
    """
    if out != STDOUT:
        require_new(out, force)
    with open_client(data_dir, project, as_of, exact=True) as client:
        text, subject = document(client, what, cast("Document", shape))
    if subject.unproved is not None:
        note(f"without a checkpoint: {subject.unproved}")
    if out == STDOUT:
        print_exact(text)
        return
    with open(open_private(out, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), "w", encoding="utf-8") as file:
        file.write(text)
