"""`runlore dashboard`: the web page alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from runlore.cli.options import data_dir_option, project_option, settings_for
from runlore.cli.output import note, print_line
from runlore.dashboard import run_dashboard
from runlore.schemas.hosts import parse_host


class HostType(click.ParamType[str]):
    """A name as in a Host header."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return parse_host(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


@click.command()
@data_dir_option
@project_option
@click.option("--host", help="Address to answer on; else RUNLORE_DASHBOARD_HOST, else 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0: any free one.")
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the token that visitors must know; else RUNLORE_DASHBOARD_TOKEN.",
)
@click.option(
    "--allow-host",
    "hosts",
    type=HostType(),
    multiple=True,
    help="Another name that is answered, as a proxy sends it; repeatable; else RUNLORE_DASHBOARD_HOSTS.",
)
def dashboard(
    data_dir: Path | None,
    project: str | None,
    host: str | None,
    port: int | None,
    token_file: Path | None,
    hosts: tuple[str, ...],
) -> None:
    """Show the log as a web page, until Ctrl-C. It only reads.

    `runlore up` runs one already. Any address but loopback needs a token.

    \b
    Examples:
      runlore dashboard
      runlore dashboard --host 0.0.0.0 --port 8080 --token-file /run/secrets/runlore
      runlore dashboard --port 8080 --allow-host runlore.example.org
    """
    token = None if token_file is None else token_file.read_text().strip()
    settings = settings_for(
        data_dir,
        project,
        dashboard_host=host,
        dashboard_port=port,
        dashboard_token=token,
        dashboard_hosts=hosts or None,
    )
    run_dashboard(settings, _announce)
    note("stopped")


def _announce(url: str) -> None:
    print_line(f"The page is at {url}")
    note("Ctrl-C stops it.")
