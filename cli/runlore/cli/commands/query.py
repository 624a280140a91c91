"""`runlore query serve`: answers readers on other machines over NATS."""

from __future__ import annotations

import asyncio
from importlib import import_module
from pathlib import Path

import click

from runlore.cli.options import data_dir_option, settings_for
from runlore.cli.output import note
from runlore.cli.stop_signals import StopSignals

_LOOK_SECONDS = 0.2


@click.group()
def query() -> None:
    """Answer readers on other machines."""


@query.command()
@data_dir_option
def serve(data_dir: Path | None) -> None:
    """Answer `Client("nats://…")` from this folder's view, until Ctrl-C.

    `runlore up` has one already. Run it beside `runlore projector`, or as a second one, which takes a share of the
    questions.

    \b
    Examples:
      runlore query serve
      RUNLORE_URL=nats://nats.example:4222 runlore query serve --data-dir /srv/runlore
    """
    settings = settings_for(data_dir)
    service = import_module("runlore.query.remote.service")  # loads NATS
    with StopSignals() as stop:

        async def run() -> None:
            ready, noted = asyncio.Event(), False
            answering = asyncio.create_task(service.serve(settings, ready))
            while not answering.done() and not await asyncio.to_thread(stop.wait, _LOOK_SECONDS):
                if ready.is_set() and not noted:
                    note("answering queries; Ctrl-C ends it")
                    noted = True
            if answering.done():
                answering.result()
            answering.cancel()
            await asyncio.wait({answering})  # it finishes what it was asked

        asyncio.run(run())
