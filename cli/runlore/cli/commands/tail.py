"""`runlore tail`: the log, decoded, as it grows."""

from __future__ import annotations

from pathlib import Path

import click

from runlore.cli.eventline import event_json, event_text
from runlore.cli.options import POSITION, data_dir_option, json_option, settings_for
from runlore.cli.output import print_json, print_line
from runlore.cli.stop_signals import StopSignals
from runlore.projector import ArchiveReader
from runlore.query.effect import effect_record, event_erasure, rejected_by_rules
from runlore.schemas.acceptance import Acceptance
from runlore.store.folder import DataDir

_POLL_SECONDS = 0.1
_BATCH = 500


@click.command()
@click.option("--since", type=POSITION, metavar="EVENT", help="Start after this event.")
@click.option(
    "-n",
    "--lines",
    type=POSITION,
    default=10,
    show_default=True,
    help="Start with the last N events.",
)
@click.option("--follow/--no-follow", default=True, show_default=True, help="Stay, and print what comes.")
@json_option
@data_dir_option
def tail(since: int | None, lines: int, follow: bool, as_json: bool, data_dir: Path | None) -> None:
    """Follow the log: one line an event, in the order of the log, until Ctrl-C.

    It reads the projector's archive, so it works while NATS is down. Of an event that has no effect it says why, as far
    as the event itself decides that; what contradicts earlier events is in `runlore show` and on the page.

    \b
    Examples:
      runlore tail
      runlore tail --since 0 --no-follow --json | jq .type
    """
    reader = ArchiveReader(DataDir(settings_for(data_dir).data_dir).log)
    accept = Acceptance()
    try:
        position = max(reader.position - lines, 0) if since is None else since
        with StopSignals() as stop:
            while not stop.requested:
                rows = reader.read(position, _BATCH)
                for row in rows:
                    rejected = rejected_by_rules(accept, row)
                    if as_json:
                        erasure = event_erasure(reader.erasure(row.position) if row.erased else None)
                        print_json({**event_json(row), **effect_record(rejected, erasure)})
                    else:
                        print_line(event_text(row, rejected=rejected))
                    position = row.position
                if not rows and not follow:
                    return
                if not rows:
                    stop.wait(_POLL_SECONDS)
    finally:
        reader.close()
