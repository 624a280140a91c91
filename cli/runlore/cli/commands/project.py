"""`runlore project`: a projection of one's own, kept up to date."""

from __future__ import annotations

import importlib
import sys
import threading
from pathlib import Path
from typing import Any

import click

from runlore.cli.options import data_dir_option, settings_for
from runlore.cli.output import note
from runlore.cli.progress import progress_bar
from runlore.cli.stop_signals import StopSignals
from runlore.projector import Projection, follow
from runlore.store.folder import DataDir

_LOOK_SECONDS = 0.2


class ProjectionType(click.ParamType[Projection]):
    """MODULE:CLASS, looked for in the current folder first."""

    name = "projection"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Projection:
        module, colon, attribute = str(value).partition(":")
        if not colon:
            self.fail(f"{value!r}: write MODULE:CLASS, for example leaderboard:Leaderboard", param, ctx)
        sys.path.insert(0, str(Path.cwd()))
        try:
            found = getattr(importlib.import_module(module), attribute)
        except (ImportError, AttributeError) as error:
            self.fail(f"{value!r}: {error}", param, ctx)
        if not (isinstance(found, type) and issubclass(found, Projection)):
            self.fail(f"{value!r} is no subclass of runlore.projector.Projection", param, ctx)
        return found()


@click.command()
@click.argument("projection", type=ProjectionType(), metavar="MODULE:CLASS")
@click.option("--once", is_flag=True, help="Stop at the end of the log instead of following it.")
@data_dir_option
def project(projection: Projection, once: bool, data_dir: Path | None) -> None:
    """Compute your own read model from the log, from event 1 on, and follow it until Ctrl-C.

    The class says a name, a version, its tables and a function per fact; its file is projection/NAME-vVERSION.db in the
    data folder. See docs/projections.md.

    \b
    Example:
      runlore project leaderboard:Leaderboard
    """
    data = DataDir(settings_for(data_dir).data_dir)
    stop = threading.Event()
    with StopSignals() as signals, progress_bar("folding") as progress:
        listener = threading.Thread(target=_pass_on, args=(signals, stop), daemon=True)
        listener.start()
        path = follow(projection, data, None if once else stop, progress)
    note(f"{path} is up to date")


def _pass_on(signals: StopSignals, stop: threading.Event) -> None:
    while not signals.requested:
        stop.wait(_LOOK_SECONDS)
    stop.set()
