"""`runlore retract`: end what no longer holds; its history stays."""

from __future__ import annotations

from pathlib import Path

import click

from runlore.cli.emitting import emit
from runlore.cli.options import REFERENCE, data_dir_option, project_option, settings_for
from runlore.cli.typos import check_retracted
from runlore.producer import retract_metadata
from runlore.schemas.references import EntityRef


@click.command()
@click.argument("entity", type=REFERENCE)
@click.argument("keys", nargs=-1, required=True, metavar="KEY...")
@click.option("--reason", required=True, help="Why it no longer holds; shown in the history.")
@project_option
@data_dir_option
def retract(entity: EntityRef, keys: tuple[str, ...], reason: str, project: str | None, data_dir: Path | None) -> None:
    """Withdraw keys, groups or single paths of ENTITY, with a reason.

    Nothing is erased: the history keeps every value. To correct a value, log it again.
    An ENTITY that does not exist is an error.

    \b
    Example:
      runlore retract model:churn@3 evaluation_metrics.accuracy --reason "test set leaked"
    """
    if not reason.strip():
        raise click.UsageError("--reason is empty: say why it no longer holds")
    settings = settings_for(data_dir, project)
    check_retracted(settings, entity, keys)
    emit(settings, lambda: retract_metadata(entity, keys, reason))
