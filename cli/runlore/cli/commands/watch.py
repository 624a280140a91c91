"""`runlore watch`: new entries as they come, and a command for each."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import click

from runlore.cli.options import data_dir_option, json_option, project_option
from runlore.cli.output import note, print_json, print_line
from runlore.cli.reaction import StateFile, change_line, run_command
from runlore.cli.reading import WHEN, When, note_zone, open_client
from runlore.cli.render import text
from runlore.cli.stop_signals import StopSignals
from runlore.cli.webhook import Webhook, deliver, read_webhook
from runlore.query import Change
from runlore.query.records import change_record
from runlore.query.watch.selection import is_filter

_STOP_SECONDS = 0.25
"""Ctrl-C is noticed within these, where a service is asked."""


@click.command()
@click.argument("what", metavar="[REFERENCE|FILTER]", required=False)
@click.option("--kind", help="Only entities of this kind.")
@click.option("--key", metavar="PATH", help="Only this key, group or path (metrics.accuracy), or field (status).")
@click.option("--since", type=WHEN, metavar="WHEN", help="Start after this event number or time; else from now.")
@click.option("--exec", "command", metavar="CMD", help="Run this shell command for every change, one at a time.")
@click.option("--webhook", "url", metavar="URL|@FILE", help="Post every change to this address, or the one in FILE.")
@click.option(
    "--webhook-secret-file",
    "secret_file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Sign each request with the secret in FILE (Standard Webhooks).",
)
@click.option(
    "--webhook-chat", "chat", is_flag=True, help="Post a sentence as `text`: for Slack, Mattermost and others."
)
@click.option(
    "--state",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Keep the place here, and go on from it; --since counts only while there is no such file.",
)
@json_option
@project_option
@data_dir_option
def watch(
    what: str | None,
    kind: str | None,
    key: str | None,
    since: When | None,
    command: str | None,
    url: str | None,
    secret_file: Path | None,
    chat: bool,
    state: Path | None,
    as_json: bool,
    project: str | None,
    data_dir: Path | None,
) -> None:
    """Print each new entry as it is recorded, a line each, until Ctrl-C.

    A FILTER gives the changes of the keys it mentions, on entities that match it at that time. A REFERENCE without a
    version means all versions, a run also its steps, a stage the version that holds it at the time.

    --exec hands a change to CMD as variables RUNLORE_WATCH_ENTITY, _PATH, _VALUE, _VALUE_JSON, _PREVIOUS,
    _POSITION, _TYPE, _SCOPE, _REASON, _PROJECT, and as JSON on stdin. With --state the place is kept after CMD
    succeeded: a watch that is killed and started again misses nothing, and repeats at most what it was at.

    --webhook posts a change as JSON and waits until it is taken: what does not answer, or answers 5xx or 429, is tried
    again, and later changes wait. Other answers are said, and the watch goes on.

    \b
    Examples:
      runlore watch 'accuracy < 0.9' --exec 'notify "$RUNLORE_WATCH_ENTITY: $RUNLORE_WATCH_VALUE"'
      runlore watch model:churn --key evaluation_metrics.accuracy
      runlore watch --kind run --key status
      runlore watch --kind run --key status --webhook @slack-address --webhook-chat --state runs.json
      runlore watch model:churn@production --state watch.json --json
    """
    kept = None if state is None else StateFile(state)
    if url is None and (secret_file is not None or chat):
        raise click.UsageError("--webhook-secret-file and --webhook-chat are about --webhook: give its address")
    webhook = None if url is None else read_webhook(url, secret_file, chat)
    if what is not None and is_filter(what):
        note_zone(what)
    with open_client(data_dir, project, exact=True) as client:  # --exec gets the values
        start = None if kept is None else kept.read()
        feed = client.watch(what, key=key, kind=kind, since=since if start is None else start).feed
        if kept is not None and start is None:
            kept.write(feed.place)  # killed before the first change, it goes on from here and not from a later now
        with StopSignals() as stop:
            while not stop.requested:
                feed.fill(_STOP_SECONDS)
                while not stop.requested and (change := feed.take()) is not None:
                    _deal_with(change, _Reaction(command, webhook, as_json, kept), stop)
                stop.wait(feed.pause)


class _Reaction(NamedTuple):
    """What is done with each change."""

    command: str | None
    webhook: Webhook | None
    as_json: bool
    kept: StateFile | None


def _deal_with(change: Change, reaction: _Reaction, stop: StopSignals) -> None:
    if reaction.as_json:
        print_json(change_record(change))
    else:
        print_line(change_line(change))
    what = f"{text(change.reference)} {text(change.entry.path)} in event {change.position:,}"
    code = 0 if reaction.command is None else run_command(reaction.command, change)
    if code:
        note(f"the command {f'ended with exit code {code}' if code > 0 else f'was killed by signal {-code}'}: {what}")
    hook = reaction.webhook
    taken = hook is None or deliver(hook, change, stop.wait, lambda reason: note(f"{reason}: {what}"))
    if not code and taken and reaction.kept is not None:
        reaction.kept.write(change.place)
