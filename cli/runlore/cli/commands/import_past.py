"""`runlore import`: the past of another tool, with its own times."""

from __future__ import annotations

from pathlib import Path

import click

from runlore.cli.options import data_dir_option, project_option, settings_for
from runlore.cli.output import note, print_line
from runlore.integrations.mlflow.importer import Importer
from runlore.producer import configure
from runlore.query import Client


@click.group("import")
def import_past() -> None:
    """Bring what another tool has recorded, with its own times.

    What Runlore has already is not brought again, so an import can be stopped and repeated.
    """


@import_past.command()
@click.argument("uri")
@click.option("--experiment", "experiments", multiple=True, metavar="NAME", help="Only this experiment; several.")
@project_option
@data_dir_option
def mlflow(uri: str, experiments: tuple[str, ...], project: str | None, data_dir: Path | None) -> None:
    """Import runs and registered models of the MLflow store at URI, which is only read.

    Metrics with their steps and times, parameters, tags, statuses, model versions, stages and aliases. Deleted runs are
    left out. Needs `pip install 'runlore[mlflow]'`.

    \b
    Examples:
      runlore import mlflow sqlite:///mlflow.db
      runlore import mlflow http://127.0.0.1:5000 --experiment churn
    """
    settings = settings_for(data_dir, project)
    configure(data_dir=settings.data_dir, project=settings.project)
    with Client(settings.data_dir, settings.project) as client:
        done = Importer(uri, client, note).bring(experiments)
    print_line(f"{done.runs} runs, {done.versions} model versions, {done.events} new events")
