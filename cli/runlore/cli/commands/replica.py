"""`runlore replica`: a local copy of the view, beside readers that are far from the projector."""

from __future__ import annotations

from pathlib import Path

import click

from runlore.cli.options import data_dir_option, settings_for
from runlore.projector import run_replica


@click.command()
@data_dir_option
@click.option("--verify", is_flag=True, help="Compute the canonical digest of each snapshot that is fetched.")
@click.option("--http-host", help="Address of the health endpoints; else RUNLORE_HTTP_HOST, else 127.0.0.1.")
@click.option("--http-port", type=click.IntRange(0, 65535), help="Their port; 0: any free one.")
@click.option("--max-lag", type=click.IntRange(0), help="Events behind the stream at which /readyz says no.")
@click.pass_context
def replica(
    ctx: click.Context,
    data_dir: Path | None,
    verify: bool,
    http_host: str | None,
    http_port: int | None,
    max_lag: int | None,
) -> None:
    """Keep a local copy of the view up to date, until Ctrl-C.

    It fetches the newest snapshot that the projector has stored, and follows the stream (RUNLORE_URL) from there. Its
    folder is for it alone: it has no log, archives nothing and signs nothing. Everything that reads works there:
    Client("replica:FOLDER"), the commands, the page, `runlore query serve`.

    It ends with 4 when the stream is not the one that the view was folded from.

    \b
    Examples:
      RUNLORE_URL=nats://nats.example:4222 runlore replica --data-dir /var/lib/runlore
      runlore show model:churn --data-dir /var/lib/runlore
    """
    settings = settings_for(data_dir, http_host=http_host, http_port=http_port, max_lag=max_lag)
    ctx.exit(run_replica(settings, verify))
