"""`runlore stage`: give a model version a stage."""

from __future__ import annotations

from pathlib import Path

import click

from runlore.cli.emitting import emit
from runlore.cli.options import REFERENCE, data_dir_option, project_option, settings_for
from runlore.cli.output import note
from runlore.cli.render import text
from runlore.cli.typos import known, note_if_new
from runlore.producer import set_model_stage
from runlore.query import Client, ModelVersion
from runlore.query.near import meant
from runlore.schemas.errors import NotFoundError
from runlore.schemas.references import EntityRef, check_stage
from runlore.schemas.settings import Settings
from runlore.store.folder import DataDir

_LISTED, _LOOKED_AT = 3, 50
"""Versions that were passed over: how many are named, and among how many of the newest they are looked for."""


@click.command()
@click.argument("model", type=REFERENCE)
@click.argument("stage")
@click.option("--reason", help="Why; shown as stage_reason.")
@project_option
@data_dir_option
def stage(model: EntityRef, stage: str, reason: str | None, project: str | None, data_dir: Path | None) -> None:
    """Give the version MODEL the stage STAGE.

    Without a version it is the latest, which is printed; one whose run failed or is still running must be
    named. The version that held the stage becomes `archived`.

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
    _note_new_stage(settings, model.name, stage)
    # Inside a run a model without a version is the run's own, for the log to find.
    if model.version in (None, "latest") and settings.run is None:
        version = _chosen(settings, model)
    else:
        note_if_new(settings, model)
        version = model.version
    emit(settings, lambda: set_model_stage(model.name, stage, version, reason))


def _note_new_stage(settings: Settings, name: str, stage: str) -> None:
    """Say that a stage may be a slip: no version has it, and it looks like one that is common, or was given before."""
    common = ("production", "staging", "archived", "none")
    if stage in common or not DataDir(settings.data_dir).current.exists():
        return
    with Client(settings.data_dir, settings.project) as client:
        used = {model.stage for model in client.list_model_versions(name, limit=_LOOKED_AT) if model.stage}
    if stage not in used and (like := meant(stage, [*used, *common])):
        note(f"no version of model:{text(name)} has had the stage {text(stage)}{text(like)}")


def _chosen(settings: Settings, model: EntityRef) -> str | None:
    """Return the latest version, with a note why it is; None where it is resolved later.

    Raises UsageError for one whose run failed or is running: it is probably not the one that is meant.
    """
    try:
        found = known(settings, model)
    except NotFoundError:
        note_if_new(settings, model)
        return model.version
    if found is None:
        note(f"there is no view here to look up the latest version of {model}: it is resolved when the event is stored")
        return model.version
    assert isinstance(found, ModelVersion)
    with Client(settings.data_dir, settings.project) as client:
        if (why := _unfit(client, found)) is not None:
            raise click.UsageError(f"{found.reference} is the latest, but {why}: write {found.reference} to use it")
        note(f"{found.reference} (the latest{_passed_over(client, found)})")
    return found.version


def _unfit(client: Client, model: ModelVersion) -> str | None:
    """Return why a version is probably not meant for a stage unless it is named."""
    run = None if model.run is None else client.get(EntityRef("run", model.run))
    match None if run is None else run.fields.get("status"):
        case "failed" | "killed" as ended:
            return f"run {model.run} {'failed' if ended == 'failed' else 'was killed'}"
        case "running":
            return f"run {model.run} is still running"
        case _:
            return None


def _passed_over(client: Client, model: ModelVersion) -> str:
    """The later versions that failed runs left empty."""
    later = client.list_model_versions(model.name, limit=_LOOKED_AT)
    runs = {version.version: version.left_empty_by for version in later if version.place > model.place}
    notes = [f"; @{version} was left empty by run {run}, which failed" for version, run in runs.items() if run]
    return "".join(notes[:_LISTED]) + (f"; so were {len(notes) - _LISTED} more" if len(notes) > _LISTED else "")
