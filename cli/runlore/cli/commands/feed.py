"""`runlore feed`: give another tool what it could not take while it was away."""

from __future__ import annotations

import time
from pathlib import Path

import click

from runlore.cli.options import data_dir_option, project_option, settings_for
from runlore.cli.output import note, print_line
from runlore.integrations.mlflow.feed import Feeder
from runlore.producer import configure
from runlore.query import Client

_PAUSE_SECONDS = 5.0


@click.group("feed")
def feed() -> None:
    """Give another tool what it could not take while it was away."""


@feed.command()
@click.argument("uri")
@click.option("--follow", is_flag=True, help="Go on with new runs, until Ctrl-C.")
@project_option
@data_dir_option
def mlflow(uri: str, follow: bool, project: str | None, data_dir: Path | None) -> None:
    """Bring runs recorded with RUNLORE_MLFLOW=first to the MLflow store at URI.

    Only what MLflow does not have is written; repeat it whenever you like. It prints the IDs of runs that have ended
    and are there completely.

    \b
    Example:
      runlore feed mlflow http://127.0.0.1:5000
    """
    settings = settings_for(data_dir, project)
    configure(data_dir=settings.data_dir, project=settings.project)
    with Client(settings.data_dir, settings.project) as client:
        feeder = Feeder(uri, client, settings.data_dir.absolute() / "mlflow")
        while True:
            waiting = feeder.waiting()
            done = feeder.feed(waiting)
            for run_id in done:
                print_line(run_id)
            if not follow:
                note(f"{len(done)} runs are complete, {len(waiting) - len(done)} have not ended")
                return
            time.sleep(_PAUSE_SECONDS)
