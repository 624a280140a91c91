"""`runlore stream`: bring a damaged stream back from log.db."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from runlore.cli.options import data_dir_option, json_option, settings_for
from runlore.cli.output import note, note_count, print_json, print_line
from runlore.cli.restoring import Restore
from runlore.producer import outbox_status
from runlore.projector.restoring.restore import RestorePlan
from runlore.store.folder import DataDir


@click.group()
def stream() -> None:
    """Bring a damaged stream back from log.db, the local copy of it.

    \b
    Examples:
      runlore stream restore            # what is wrong, and what a restore would do
      runlore stream restore --apply    # do it
    """


@stream.command()
@click.option("--apply", is_flag=True, help="Do it; without, only say what is wrong and what it does.")
@click.option(
    "--skip-to", type=click.IntRange(0), default=0, help="Highest event number ever given away, if known to be higher."
)
@data_dir_option
@json_option
def restore(apply: bool, skip_to: int, data_dir: Path | None, as_json: bool) -> None:
    """Write what log.db has into a stream that lost its end, its middle or everything.

    Every event keeps its number, time and bytes; events that only the stream has are kept too. The old stream is kept
    beside the new one. Stop `runlore up`, the projector and, with RUNLORE_URL, the producers first.
    """
    settings = settings_for(data_dir)
    with Restore(settings, _progress, skip_to) as restoring:
        plan = restoring.plan()
        kept = restoring.apply(plan) if apply and not plan.whole else None
    waiting = sum(one.waiting for one in outbox_status(DataDir(settings.data_dir)))
    if as_json:
        found = {**msgspec.to_builtins(plan), "whole": plan.whole, "applied": kept is not None, "waiting": waiting}
        print_json(found | {"kept": str(kept) if kept else None})
        return
    for line in _found(plan):
        print_line(line)
    for line in _done(plan, kept, apply):
        print_line(line)
    if waiting:
        print_line(f"{waiting:,} events wait in outboxes; `runlore up` or `runlore outbox drain` sends them.")


def _found(plan: RestorePlan) -> list[str]:
    lines = [f"log.db has {plan.log_events:,} events up to {plan.log_position:,}."]
    if plan.stream_epoch is None:
        return [*lines, "There is no stream."]
    lines.append(f"The stream has {plan.stream_events:,} events up to {plan.stream_last:,}.")
    if plan.stream_epoch != plan.epoch:
        lines.append(f"It is another stream: made as {plan.stream_epoch}, log.db is a copy of {plan.epoch}.")
    if plan.lost:
        lines.append(f"It lost {plan.lost:,} events of log.db, between {plan.lost_first:,} and {plan.lost_last:,}.")
    if plan.differing:
        lines.append(f"{plan.differing:,} events are not those of log.db, the first at {plan.differing_first:,}.")
    if plan.erased:
        lines.append(f"{plan.erased:,} of its events still hold values that were erased from log.db.")
    lines += [f"Its configuration is not Runlore's: {drift}." for drift in plan.drift]
    return lines


def _done(plan: RestorePlan, kept: Path | None, apply: bool) -> list[str]:
    if plan.whole:
        return ["The stream holds everything that log.db has: nothing to do."]
    did = "The stream now has" if apply else "A restore would give it"
    lines = [f"{did} the {plan.log_events:,} events of log.db, with their numbers, times and bytes."]
    if plan.kept:
        lines.append(f"{plan.kept:,} events that only the stream had follow them, with their numbers.")
    if plan.moved:
        last = plan.moved_from + plan.moved - 1
        lines.append(
            f"{plan.moved:,} events that only the stream had get new numbers, {plan.moved_from:,} to {last:,}: "
            "their old ones belong to other events."
        )
    if plan.last - plan.moved > max(plan.log_position, plan.last_held):
        lines.append(f"Numbers up to {plan.last - plan.moved:,} were given away before: they stay empty.")
    if kept is not None:
        lines.append(f"The old stream is kept in {kept}; remove it when all is well. Now start `runlore up` again.")
        if plan.erased:
            lines.append("It holds the erased values: they are gone once it is removed.")
    elif not apply:
        lines.append("Nothing was changed. To do it: runlore stream restore --apply")
    return lines


def _progress(what: str, at: int, of: int) -> None:
    if not of:
        note(what)
    else:
        note_count(what, at, of)
