"""`runlore dashboard`: the web page alone, and the tokens that open it."""

from __future__ import annotations

import datetime as dt
import re
import time
from pathlib import Path
from typing import Any

import click

from runlore.cli.options import data_dir_option, json_option, no_token_option, project_option, settings_for
from runlore.cli.output import note, print_exact, print_json, print_line, print_pair
from runlore.dashboard import run_dashboard
from runlore.schemas.errors import NotFoundError
from runlore.schemas.hosts import parse_host
from runlore.schemas.names import check_name
from runlore.store.folder import DataDir
from runlore.store.page_tokens import (
    PageToken,
    create_page_token,
    link_with,
    page_link,
    page_tokens,
    revoke_page_token,
)
from runlore.store.private_files import read_struct
from runlore.store.records import DashboardStatus

_UNITS = {"m": 60.0, "h": 3600.0, "d": 24 * 3600.0, "w": 7 * 24 * 3600.0}
_PERIOD = re.compile(r"([1-9][0-9]{0,4})([mhdw])")


class HostType(click.ParamType[str]):
    """A name as in a Host header."""

    name = "name"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return parse_host(value)
        except ValueError as error:
            self.fail(str(error), param, ctx)


class PeriodType(click.ParamType[float]):
    """A time such as 12h or 7d, in seconds; `never` is infinite."""

    name = "period"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        if value == "never":
            return float("inf")
        found = _PERIOD.fullmatch(str(value))
        if found is None:
            self.fail("use a number and m, h, d or w, such as 12h or 7d; or never", param, ctx)
        return int(found[1]) * _UNITS[found[2]]


@click.group(invoke_without_command=True)
@data_dir_option
@project_option
@click.option("--host", help="Address to answer on; else RUNLORE_DASHBOARD_HOST, else 127.0.0.1.")
@click.option("--port", type=click.IntRange(0, 65535), help="Port; 0: any free one.")
@click.option(
    "--token-file",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="File with the token that opens the page; else RUNLORE_DASHBOARD_TOKEN, else the data folder's own.",
)
@no_token_option
@click.option(
    "--allow-host",
    "hosts",
    type=HostType(),
    multiple=True,
    help="Another name that is answered, as a proxy sends it; repeatable; else RUNLORE_DASHBOARD_HOSTS.",
)
@click.pass_context
def dashboard(
    ctx: click.Context,
    data_dir: Path | None,
    project: str | None,
    host: str | None,
    port: int | None,
    token_file: Path | None,
    no_token: bool,
    hosts: tuple[str, ...],
) -> None:
    """Show the log as a web page, until Ctrl-C. It only reads.

    `runlore up` runs one already. The link that is printed signs in who follows it.

    \b
    Examples:
      runlore dashboard
      runlore dashboard --host 0.0.0.0 --port 8080 --token-file /run/secrets/runlore
      runlore dashboard --port 8080 --allow-host runlore.example.org
      runlore dashboard token create --project churn --expires 7d
    """
    if ctx.invoked_subcommand is not None:
        return
    settings = settings_for(
        data_dir,
        project,
        dashboard_host=host,
        dashboard_port=port,
        dashboard_token=None if token_file is None else token_file.read_text().strip(),
        dashboard_no_token=no_token or None,
        dashboard_hosts=hosts or None,
    )

    def announce(url: str, token: str | None) -> None:
        shown = url if token is None or settings.dashboard_token else link_with(url, token)
        print_line(f"The page is at {shown}")
        if token is None:
            note("It asks for no token: every user of this machine sees it.")
        note("Ctrl-C stops it.")

    run_dashboard(settings, announce)
    note("stopped")


@dashboard.command()
@data_dir_option
def link(data_dir: Path | None) -> None:
    """Print the link that opens the page of `runlore up`.

    \b
    Example:
      runlore dashboard link
    """
    settings = settings_for(data_dir)
    status = read_struct(DataDir(settings.data_dir).dashboard, DashboardStatus)
    if status is None or not status.http:
        raise NotFoundError(f"no `runlore up` has shown a page of {settings.data_dir}: start it")
    print_exact(f"{page_link(status.http, settings)}\n")


@dashboard.group()
def token() -> None:
    """Tokens that show the page of some projects only."""


@token.command()
@data_dir_option
@click.option("--project", "projects", multiple=True, required=True, help="A project that it shows; repeatable.")
@click.option(
    "--expires", type=PeriodType(), default="30d", show_default=True, help="When it ends: 12h, 7d, 4w, or never."
)
@json_option
def create(data_dir: Path | None, projects: tuple[str, ...], expires: float, as_json: bool) -> None:
    """Make a token and print it. It is not shown again: only its hash is kept.

    \b
    Examples:
      runlore dashboard token create --project churn --expires 7d
      runlore dashboard token create --project churn --project fraud --expires never
    """
    data = DataDir(settings_for(data_dir).data_dir)
    names = [check_name("project", project) for project in projects]
    text, made = create_page_token(data, names, None if expires == float("inf") else expires)
    if as_json:
        print_json({"token": text, **_record(made)})
        return
    print_exact(f"{text}\n")
    note(f"{made.id} shows {', '.join(made.projects)}; it expires {_when(made.expires)}")


@token.command("list")
@data_dir_option
@json_option
def list_tokens(data_dir: Path | None, as_json: bool) -> None:
    """List the tokens for projects.

    \b
    Example:
      runlore dashboard token list
    """
    found = page_tokens(DataDir(settings_for(data_dir).data_dir))
    if as_json:
        print_json([_record(one) for one in found])
        return
    now = time.time()
    for one in found:
        ends = f"expires {_when(one.expires)}" if one.is_valid(now) else "expired"
        print_pair(one.id, f"{', '.join(one.projects)}; made {_when(one.created)}, {ends}", width=10)
    if not found:
        note("no tokens: `runlore dashboard token create --project PROJECT` makes one")


@token.command()
@click.argument("name", metavar="ID")
@data_dir_option
def revoke(name: str, data_dir: Path | None) -> None:
    """Revoke a token at once, with the sessions that were begun with it.

    \b
    Example:
      runlore dashboard token revoke 3f9a01c2
    """
    gone = revoke_page_token(DataDir(settings_for(data_dir).data_dir), name)
    note(f"revoked {gone.id} ({', '.join(gone.projects)})")


def _record(one: PageToken) -> dict[str, Any]:
    return {
        "id": one.id,
        "projects": one.projects,
        "created": _time(one.created),
        "expires": None if one.expires is None else _time(one.expires),
    }


def _time(seconds: float) -> dt.datetime:
    return dt.datetime.fromtimestamp(int(seconds), dt.UTC)


def _when(seconds: float | None) -> str:
    return "never" if seconds is None else f"{_time(seconds):%Y-%m-%d %H:%M} UTC"
