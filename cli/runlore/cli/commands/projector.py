"""`runlore projector`: the projector alone, beside a NATS server that runs elsewhere."""

from __future__ import annotations

from pathlib import Path

import click

from runlore.cli.options import data_dir_option, settings_for
from runlore.projector import run_projector


@click.command()
@data_dir_option
@click.option("--http-host", help="Address of the health endpoints; else RUNLORE_HTTP_HOST, else 127.0.0.1.")
@click.option("--http-port", type=click.IntRange(0, 65535), help="Their port; 0: any free one.")
@click.option("--max-lag", type=click.IntRange(0), help="Events behind the stream at which /readyz says no.")
@click.option("--wait", is_flag=True, help="Stand by while another projector has the folder, then take over.")
@click.pass_context
def projector(
    ctx: click.Context,
    data_dir: Path | None,
    http_host: str | None,
    http_port: int | None,
    max_lag: int | None,
    wait: bool,
) -> None:
    """Archive the stream and keep the view up to date, until Ctrl-C.

    `runlore up` runs one already. Use this beside your own NATS (RUNLORE_URL). It ends with 4 when
    the stream is not the one this folder has archived.

    With --wait it is a standby on the same machine: it takes over when the projector that has the folder ends, and
    ends it after 15 seconds without a sign of life.

    \b
    Examples:
      RUNLORE_URL=nats://nats.example:4222 runlore projector --http-port 8222
      RUNLORE_URL=nats://nats.example:4222 runlore projector --wait
    """
    settings = settings_for(data_dir, http_host=http_host, http_port=http_port, max_lag=max_lag)
    ctx.exit(run_projector(settings, wait))
