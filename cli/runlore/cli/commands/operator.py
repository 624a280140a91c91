"""`runlore operator`: what an operator of NATS sets up for Runlore."""

from __future__ import annotations

import uuid
from typing import Any, get_args

import click
from nats.aio.client import Client as NatsConnection

from runlore.cli.operating.roles import require_distinct
from runlore.cli.operating.server_text import Node, accounts_text, config_text
from runlore.cli.operating.stream_text import Format, stream_text
from runlore.cli.options import settings_for
from runlore.cli.output import note, print_exact
from runlore.cli.remote_stream import ask
from runlore.schemas.errors import InvalidReferenceError, NotFoundError
from runlore.schemas.names import check_name
from runlore.schemas.settings import MAX_REPLICAS
from runlore.wire.stream import create_stream, require_no_drift, stream_config, stream_info


@click.group()
def operator() -> None:
    """Set up your own NATS server for Runlore: configuration, stream, permissions.

    \b
    Examples:
      runlore operator config --project vision --project speech > nats-server.conf
      runlore operator stream --format nack --replicas 3
      runlore operator permissions --project vision
    """


def _projects(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    try:
        projects = tuple(dict.fromkeys(check_name("project", value) for value in values or ("default",)))
    except InvalidReferenceError as error:
        raise click.BadParameter(str(error), ctx, param) from error
    require_distinct(projects)
    return projects


project_options = click.option(
    "--project", "projects", multiple=True, callback=_projects, help="A tenant; several times. Default: 'default'."
)
restore_option = click.option(
    "--restore", is_flag=True, help="Add the user `restorer`, who may replace the stream: only while you restore."
)


@operator.command()
@project_options
@restore_option
@click.option("--name", default="n1", show_default=True, help="Name of this server.")
@click.option("--listen", default="127.0.0.1:4222", show_default=True, help="Where clients connect.")
@click.option("--store", default="/var/lib/nats", show_default=True, help="Folder of JetStream.")
@click.option("--cluster", help="Name of the cluster that this server is in.")
@click.option("--cluster-listen", default="127.0.0.1:6222", show_default=True, help="Where other servers connect.")
@click.option("--route", "routes", multiple=True, help="Address (host:port) of another server; several times.")
def config(
    projects: tuple[str, ...],
    restore: bool,
    name: str,
    listen: str,
    store: str,
    cluster: str | None,
    cluster_listen: str,
    routes: tuple[str, ...],
) -> None:
    """Print the configuration of a nats-server, with an account for each project."""
    node = Node(name, listen, store, cluster, cluster_listen, routes)
    print_exact(config_text(node, accounts_text(projects, restore)))


@operator.command()
@project_options
@restore_option
def permissions(projects: tuple[str, ...], restore: bool) -> None:
    """Print accounts, users and their permissions, to be included in a nats-server's configuration."""
    print_exact(accounts_text(projects, restore))


@operator.command()
@click.option("--format", "form", type=click.Choice(get_args(Format)), default="nats", show_default=True)
@click.option("--replicas", type=click.IntRange(1, MAX_REPLICAS), help="Else RUNLORE_REPLICAS, else 1.")
@click.option("--max-bytes", type=click.IntRange(1), help="Size at which it refuses events; default: none.")
@click.option("--create", is_flag=True, help="Make it at RUNLORE_URL, unless it is there.")
def stream(form: Format, replicas: int | None, max_bytes: int | None, create: bool) -> None:
    """Print the stream's configuration, or make it.

    The stream keeps the random epoch in its metadata for good: print it once, and keep what was printed.
    """
    settings = settings_for(None)
    found = stream_config(str(uuid.uuid4()), replicas or settings.replicas or 1) | {"max_bytes": max_bytes or -1}
    if create:
        note(ask(settings, lambda connection: _make(connection, found)))
    else:
        print_exact(stream_text(found, form))


async def _make(connection: NatsConnection, wanted: dict[str, Any]) -> str:
    try:
        info = await stream_info(connection)
    except NotFoundError:
        require_no_drift(await create_stream(connection, wanted))
        return f"the stream {wanted['name']} was made"
    require_no_drift(info)
    return f"the stream {wanted['name']} is there already: {info.messages:,} events"
