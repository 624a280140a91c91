"""`runlore log`: metadata from a shell script or cron job."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, cast

import click

from runlore.cli.assignments import parse_assignments
from runlore.cli.emitting import emit
from runlore.cli.json_text import LossyJSONError, read_json
from runlore.cli.options import REFERENCE, data_dir_option, project_option, settings_for
from runlore.cli.output import note
from runlore.producer import log_metadata
from runlore.schemas.references import EntityRef


@click.command()
@click.argument("entity", type=REFERENCE)
@click.argument("assignments", nargs=-1, metavar="KEY=VALUE...")
@click.option("--json", "document", metavar="OBJECT", help="A JSON object; `-` reads it from stdin.")
@click.option("--merge", is_flag=True, help="Merge groups one level deep instead of replacing them.")
@click.option("--wait", is_flag=True, help="Wait until the log holds it, and print the event number.")
@click.option("--timeout", type=click.FloatRange(0), default=10.0, show_default=True, help="For --wait.")
@project_option
@data_dir_option
def log(
    entity: EntityRef,
    assignments: tuple[str, ...],
    document: str | None,
    merge: bool,
    wait: bool,
    timeout: float,
    project: str | None,
    data_dir: Path | None,
) -> None:
    """Log metadata on ENTITY, such as model:churn@3, run:nightly or dataset:sales.

    A value is JSON where it parses, else text; a type in front decides otherwise: str, Uri, Path,
    DType, StorageSize, datetime, date, decimal, uuid. Ambiguous values (version=1.10, a commit's hash)
    is remarked on. A dot in a key makes a group; without --merge
    the group replaces the one before. All of one call is stored together or not at all. It works
    while NATS is down: the event waits in the outbox. Prints the event's ID.

    \b
    Examples:
      runlore log model:churn accuracy=0.93 customer=acme
      runlore log model:churn --merge evaluation_metrics.recall=0.88
      runlore log dataset:sales rows=1200 size=StorageSize:1.5MB source=Uri:s3://raw/sales.csv zip=str:00714
      train --report | runlore log run:nightly --json -
    """
    metadata = _metadata(assignments, document)
    if not metadata:
        raise click.UsageError("nothing to log: give KEY=VALUE or --json")
    settings = settings_for(data_dir, project)
    emit(settings, lambda: log_metadata(metadata, entity, merge=merge), timeout if wait else None)


def _metadata(assignments: tuple[str, ...], document: str | None) -> dict[str, Any]:
    try:
        base: Any = {} if document is None else read_json(sys.stdin.read() if document == "-" else document)
    except LossyJSONError as error:
        raise click.UsageError(f"--json: {error}") from error
    except ValueError as error:
        raise click.UsageError(f"--json: not JSON: {error}") from error
    if not isinstance(base, dict):
        raise click.UsageError("--json: give an object, such as '{\"accuracy\": 0.93}'")
    try:
        return parse_assignments(assignments, cast(dict[str, Any], base), note)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
