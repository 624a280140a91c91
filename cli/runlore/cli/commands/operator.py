"""`runlore operator`: what an operator of NATS sets up for Runlore."""

from __future__ import annotations

import os
import uuid
from pathlib import Path
from typing import Any, get_args

import click
import msgspec
from nats.aio.client import Client as NatsConnection

from runlore.cli.operating.backup import take_backup
from runlore.cli.operating.restore_backup import restore_backup
from runlore.cli.operating.roles import require_distinct
from runlore.cli.operating.server_text import Node, accounts_text, config_text
from runlore.cli.operating.stream_text import Format, stream_text
from runlore.cli.options import POSITION, data_dir_option, json_option, settings_for
from runlore.cli.output import note, note_count, print_exact, print_json, print_line
from runlore.cli.remote_stream import ask
from runlore.projector.snapshots.take import take_snapshot
from runlore.schemas.errors import InvalidReferenceError, NotFoundError, SettingsError
from runlore.schemas.names import check_name
from runlore.schemas.settings import MAX_REPLICAS
from runlore.schemas.shards import MAX_SHARD, Shard
from runlore.wire.shards import assign_shard
from runlore.wire.stream import create_stream, require_no_drift, stream_config, stream_info


@click.group()
def operator() -> None:
    """Set up your own NATS server for Runlore, back up, restore, shard, and store snapshots for replicas.

    \b
    Examples:
      runlore operator config --project vision --project speech > nats-server.conf
      runlore operator stream --format nack --replicas 3
      runlore operator permissions --project vision
      runlore operator shard vision 1
      runlore operator backup /backup/monday
      runlore operator restore /backup/monday
      runlore operator snapshot
    """


def _projects(ctx: click.Context, param: click.Parameter, values: tuple[str, ...]) -> tuple[str, ...]:
    try:
        projects = tuple(dict.fromkeys(check_name("project", value) for value in values or ("default",)))
    except InvalidReferenceError as error:
        raise click.BadParameter(str(error), ctx, param) from error
    require_distinct(projects)
    return projects


shard_option = click.option(
    "--shard",
    type=click.IntRange(0, MAX_SHARD),
    help="The shard that these projects are in; default: RUNLORE_SHARD, 0 if unset.",
)
project_options = click.option(
    "--project", "projects", multiple=True, callback=_projects, help="A tenant; several times. Default: 'default'."
)
restore_option = click.option(
    "--restore", is_flag=True, help="Add the user `restorer`, who may replace the stream: only while you restore."
)


@operator.command()
@project_options
@restore_option
@shard_option
@click.option("--name", default="n1", show_default=True, help="Name of this server.")
@click.option("--listen", default="127.0.0.1:4222", show_default=True, help="Where clients connect.")
@click.option("--store", default="/var/lib/nats", show_default=True, help="Folder of JetStream.")
@click.option("--cluster", help="Name of the cluster that this server is in.")
@click.option("--cluster-listen", default="127.0.0.1:6222", show_default=True, help="Where other servers connect.")
@click.option("--route", "routes", multiple=True, help="Address (host:port) of another server; several times.")
def config(
    projects: tuple[str, ...],
    restore: bool,
    shard: int | None,
    name: str,
    listen: str,
    store: str,
    cluster: str | None,
    cluster_listen: str,
    routes: tuple[str, ...],
) -> None:
    """Print the configuration of a nats-server, with an account for each project.

    With --cluster it holds the password of the routes between the servers, from RUNLORE_ROUTE_PASSWORD.
    """
    password = os.environ.get("RUNLORE_ROUTE_PASSWORD", "")
    if cluster is not None and not password:
        raise click.UsageError("set RUNLORE_ROUTE_PASSWORD, by which the servers of the cluster know each other")
    node = Node(name, listen, store, cluster, cluster_listen, routes, password)
    print_exact(config_text(node, accounts_text(projects, restore, _shard(shard))))


@operator.command()
@project_options
@restore_option
@shard_option
def permissions(projects: tuple[str, ...], restore: bool, shard: int | None) -> None:
    """Print accounts, users and their permissions, to be included in a nats-server's configuration."""
    print_exact(accounts_text(projects, restore, _shard(shard)))


def _shard(given: int | None) -> Shard:
    return Shard(settings_for(None).shard if given is None else given)


@operator.command()
@click.argument("project")
@click.argument("number", type=click.IntRange(0, MAX_SHARD))
@click.option("--replicas", type=click.IntRange(1, MAX_REPLICAS), help="Of the bucket, if it is made now.")
def shard(project: str, number: int, replicas: int | None) -> None:
    """Say at RUNLORE_URL that PROJECT is in the shard NUMBER, before its first event.

    Producers and readers of the project look there when they connect. A project that has events in another shard stays
    where it is.
    """
    settings = settings_for(None, project)
    if not settings.url:
        raise SettingsError("set RUNLORE_URL: the server of `runlore up` has one stream, and so one shard")
    wanted, copies = Shard(number), replicas or settings.replicas or 1
    ask(settings, lambda connection: assign_shard(connection, settings.project, wanted, copies))
    print_line(f"The project {settings.project} is in shard {number}: the stream {wanted.stream}.")


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
    found = stream_config(str(uuid.uuid4()), replicas or settings.replicas or 1, Shard(settings.shard))
    found |= {"max_bytes": max_bytes or -1}
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


@operator.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@data_dir_option
def backup(folder: Path, data_dir: Path | None) -> None:
    """Back up log, view and signing key into FOLDER, while everything runs.

    The stream is in it: log.db holds each of its messages. manifest.json, with a checksum of each file, is
    written last: without it a backup is not complete. FOLDER holds the signing key: keep it as you keep that.
    """
    made = take_backup(settings_for(data_dir), folder)
    print_line(f"{folder} has everything up to event {made.position:,}, {made.leaves:,} leaves, root {made.root}")
    if made.stream is None:
        note("no server answered, so it is not known whether the stream has later events")


@operator.command()
@json_option
@data_dir_option
def snapshot(as_json: bool, data_dir: Path | None) -> None:
    """Store a snapshot of the view now, from which replicas begin.

    The projector stores one every RUNLORE_SNAPSHOT_EVERY events by itself. Run it in the projector's folder, while
    everything runs; older snapshots than the last two are removed.
    """
    last = take_snapshot(settings_for(data_dir))
    if as_json:
        print_json(msgspec.to_builtins(last))
        return
    stored, whole = last.stored_bytes / 1e6, last.snapshot.view_bytes / 1e6
    print_line(
        f"the view up to event {last.snapshot.position:,} is stored: {stored:,.1f} MB, {whole:,.1f} MB unpacked, after "
        f"{last.seconds:.1f} s"
    )


@operator.command()
@click.argument("folder", type=click.Path(path_type=Path, exists=True, file_okay=False))
@click.option("--skip-to", type=POSITION, default=0, help="Highest event number ever given away, if known.")
@data_dir_option
def restore(folder: Path, skip_to: int, data_dir: Path | None) -> None:
    """Restore a backup into the data folder, and the stream from it if that has lost something.

    Stop everything on the folder first. A stream that still has later events keeps them, and the projector
    archives them again. Nothing is deleted: what was there is kept beside. Then start the projector and the
    producers: they send what they still keep.
    """

    def progress(what: str, at: int, of: int) -> None:
        note_count(what, at, of) if of else note(what)

    done = restore_backup(settings_for(data_dir), folder, skip_to, progress)
    print_line(f"log.db has everything up to event {done.manifest.position:,}.")
    if done.plan.whole:
        print_line(f"The stream is whole: it has events up to {done.plan.stream_last:,}, and keeps them.")
    else:
        print_line(f"The stream was written from it; its next event gets number {done.plan.last + 1:,}.")
        print_line(
            "Its key signs under a new name from now on, as the log will say: hand out what `runlore audit key` prints."
        )
    for kept in filter(None, (done.kept, done.kept_projection)):
        print_line(f"What was there is kept in {kept}.")
