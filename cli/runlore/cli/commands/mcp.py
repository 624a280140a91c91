"""`runlore mcp`: the log for agents, read-only."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path

import click

from runlore.cli.options import data_dir_option, project_option
from runlore.integrations.mcp.server import serve
from runlore.query import Client


@click.command()
@click.option("--url", metavar="URL", help="Ask a query service (nats://…) or a page (https://…) instead of a folder.")
@project_option
@data_dir_option
def mcp(url: str | None, project: str | None, data_dir: Path | None) -> None:
    """Serve the log to an agent over the Model Context Protocol, read-only, on stdin and stdout.

    An MCP client starts this command itself: find, get, history, diff, compare, blame, lineage, search and evidence are
    its tools. The token of a page is RUNLORE_TOKEN. Needs `pip install 'runlore[mcp]'`.

    \b
    Examples:
      runlore mcp --data-dir /srv/runlore
      runlore mcp --url nats://nats.example:4222 --project churn
    """
    if url is not None and data_dir is not None:
        raise click.UsageError("--url and --data-dir exclude each other")
    import_module("mcp.server.lowlevel")  # what is missing is said before anything is read
    with Client(url or data_dir, project) as client:
        serve(client)
