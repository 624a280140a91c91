"""`runlore up`: the embedded stack until Ctrl-C."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import click

from runlore.cli.extras import require_projector
from runlore.cli.options import data_dir_option, json_option, no_token_option, settings_for
from runlore.cli.output import note, print_json, print_line, print_lines, print_pair
from runlore.cli.shell_hints import exports
from runlore.cli.stack import EmbeddedStack
from runlore.cli.stop_signals import StopSignals

_SUPERVISE_SECONDS = 0.2
TO_TRY = ("runlore log model:churn accuracy=0.93 customer=acme --wait", "runlore show model:churn")


@click.command()
@data_dir_option
@click.option("--http-port", type=click.IntRange(0, 65535), help="Port of /readyz and /metrics; 0: any.")
@click.option("--dashboard-port", type=click.IntRange(0, 65535), help="Port of the page; 0: any free one.")
@no_token_option
@click.option("--no-queries", is_flag=True, help='Without the query service, which answers Client("nats://…").')
@json_option
def up(
    data_dir: Path | None,
    http_port: int | None,
    dashboard_port: int | None,
    no_token: bool,
    no_queries: bool,
    as_json: bool,
) -> None:
    """Start NATS, the projector, the web page and the query service, and stay until Ctrl-C.

    One folder, one `up`: a second one says who holds it. With RUNLORE_URL set, that NATS is used
    instead of an embedded one.

    \b
    Examples:
      runlore up
      runlore up --data-dir /srv/runlore --http-port 8222
    """
    require_projector("up")
    settings = settings_for(
        data_dir, http_port=http_port, dashboard_port=dashboard_port, dashboard_no_token=no_token or None
    )
    # The page is an extra of its own: without it everything else works.
    page = find_spec("starlette") is not None
    made = EmbeddedStack(settings, note, with_dashboard=page, with_queries=not no_queries)
    with StopSignals() as stop, made as stack:
        # Your own server may be away for long: only an embedded one must be there soon.
        if stack.wait_ready(stop.wait, None if settings.url else 60.0):
            _announce(stack, stack.wait_page(stop.wait), as_json)
        while not stop.wait(_SUPERVISE_SECONDS):
            stack.supervise()
        note("stopping ...")
    note("stopped")


def _announce(stack: EmbeddedStack, page: str | None, as_json: bool) -> None:
    folder = stack.settings.data_dir
    if as_json:
        print_json({"url": stack.address, "data_dir": str(folder), "http": stack.http, "dashboard": page})
        return
    print_line("Runlore is ready.")
    for name, value in (
        ("data", str(folder)),
        ("NATS", stack.address),
        ("health", f"{stack.http}/readyz"),
        ("page", page),
    ):
        if value:
            print_pair(f"  {name}", value, width=10)
    print_line("Next, in another terminal:")
    print_lines((*exports(folder), *TO_TRY))
    print_line("Ctrl-C stops everything.")
