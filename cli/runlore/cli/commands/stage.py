"""`runlore stage`: give a model version a stage."""

from __future__ import annotations

from pathlib import Path

import click

from runlore.cli.emitting import emit
from runlore.cli.options import REFERENCE, data_dir_option, project_option, settings_for
from runlore.cli.typos import note_if_new
from runlore.producer import set_model_stage
from runlore.schemas.references import EntityRef, check_stage


@click.command()
@click.argument("model", type=REFERENCE)
@click.argument("stage")
@click.option("--reason", help="Why; shown as stage_reason.")
@project_option
@data_dir_option
def stage(model: EntityRef, stage: str, reason: str | None, project: str | None, data_dir: Path | None) -> None:
    """Give the version MODEL (without one: the latest) the stage STAGE.

    The version that held the stage becomes `archived`.

    \b
    Example:
      runlore stage model:churn@3 production --reason "won the A/B test"
    """
    if model.kind != "model":
        raise click.UsageError(f"only models have stages: write model:{model.name}")
    if reason is not None and not reason.strip():
        raise click.UsageError("--reason is empty: leave it out, or say why")
    settings = settings_for(data_dir, project)
    check_stage(stage)
    note_if_new(settings, model)
    emit(settings, lambda: set_model_stage(model.name, stage, model.version, reason))
