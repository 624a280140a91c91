"""`runlore erase`: remove content for good, with an entry in the log that says so."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from runlore.cli.bundling import resolved
from runlore.cli.exporting import Wanted, write_export
from runlore.cli.options import (
    REFERENCE,
    TARGET,
    content_options,
    data_dir_option,
    json_option,
    project_option,
    require_new,
    settings_for,
    who_option,
)
from runlore.cli.output import note, print_json, print_line
from runlore.producer.actor import this_actor
from runlore.projector.erasures.erase import ErasingFolder, Target, require_lines
from runlore.projector.erasures.plan import ErasurePlan
from runlore.query import Client
from runlore.schemas.errors import RunloreError
from runlore.schemas.paths import PathParts, format_path, parse_path
from runlore.schemas.references import EntityRef
from runlore.schemas.settings import Settings
from runlore.store.records import Erasing

MOST_NAMED = 20
"""Entities that are named; the JSON has all."""


class EventType(click.ParamType["int | str"]):
    """An event, by its number or its ID."""

    name = "event"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        return int(value) if str(value).isdecimal() else str(value)


@click.command()
@click.argument("entity", type=REFERENCE, required=False)
@click.argument("keys", nargs=-1, metavar="[KEY...]")
@click.option("--event", type=EventType(), metavar="POSITION|ID", help="All content of one event, not of ENTITY.")
@content_options
@click.option("--reason", required=True, help="Why; it takes the content's place, and stays.")
@who_option
@click.option("--yes", is_flag=True, help="Do it. Without it, only what would be erased is printed.")
@click.option("--export", type=TARGET, help="First write the history of ENTITY to this file, as `runlore export` does.")
@click.option("--timeout", type=click.FloatRange(0), default=60.0, show_default=True, help="Seconds to wait for it.")
@json_option
@project_option
@data_dir_option
def erase(
    entity: EntityRef | None,
    keys: tuple[str, ...],
    event: int | str | None,
    what: tuple[str, ...],
    reason: str,
    who: str | None,
    yes: bool,
    export: Path | None,
    timeout: float,
    as_json: bool,
    project: str | None,
    data_dir: Path | None,
) -> None:
    """Erase what was logged about ENTITY from the log and the view, for good.

    KEY is a key or path of metadata, or `parameters.NAME` or `environment.NAME` of a run or step; without one, and
    without an option that says what, all metadata is meant. Without a version, ENTITY means all its versions.

    Run it in the projector's folder, as the owner of the key that signs the log. A signed entry in the log says
    what of which events was erased, why, and for whom; in its place the history shows the reason. Who logged it,
    and when, stays, and so do the names of keys and entities, and the hash of each event: every proof holds.
    What is under a legal hold (`runlore retention`) is not erased.

    \b
    Examples:
      runlore erase model:churn@3 customer --reason "customer left"             # what would be erased
      runlore erase model:churn@3 customer --reason "customer left" --yes
      runlore erase run:6f1c parameters.user --errors --reason "a name in it" --export 6f1c.jsonl --yes
      runlore erase --event 1174 --reason "a password in it" --yes              # also one in quarantine
    """
    settings = settings_for(data_dir, project)
    target = _target(settings, entity, event, [parse_path(key) for key in keys], what)
    if export is not None:
        if entity is None:
            raise click.UsageError("--export is for an ENTITY; `runlore tail` shows single events")
        require_new(export, False)
    who = who or this_actor().user
    require_lines(reason, who)
    folder = ErasingFolder(settings)
    if yes:
        plan = folder.erase(target, reason, who, timeout, lambda: _export(settings, entity, export))
    else:
        plan = folder.plan(target, reason)
    result = folder.result(plan, erased=yes)
    if as_json:
        print_json(result)
    else:
        _say(plan, result)
    for line in result.left or ["nothing was erased: --yes does it. It cannot be undone"]:
        note(line)


def _target(
    settings: Settings, entity: EntityRef | None, event: int | str | None, keys: list[PathParts], what: tuple[str, ...]
) -> Target:
    if event is not None:
        if entity is not None or what:
            raise click.UsageError("--event means all content of one event: give it alone")
        return Target.of(event)
    if entity is None:
        raise click.UsageError("say what: an ENTITY, or --event POSITION")
    with Client(settings.data_dir, settings.project) as client:
        return Target.of(resolved(client, entity), keys, what)


def _export(settings: Settings, entity: EntityRef | None, path: Path | None) -> None:
    """Write what is to be erased. Raises RunloreError, so that nothing is erased then."""
    if path is None or entity is None:
        return
    try:
        with Client(settings.data_dir, settings.project) as client:
            count = write_export(client, Wanted(str(resolved(client, entity))), path)
    except OSError as error:
        raise RunloreError(f"{path} could not be written ({error}): nothing was erased") from error
    note(f"{count:,} entries were written to {path}")


def summary(result: Erasing) -> str:
    """The size of an erasure."""
    return f"{result.values:,} values of {len(result.events):,} events"


def about(result: Erasing) -> str:
    """Whose content it is, as the end of a sentence."""
    more = f" and {len(result.about) - MOST_NAMED:,} more" if len(result.about) > MOST_NAMED else ""
    return f", which are about {', '.join(result.about[:MOST_NAMED])}{more}" if result.about else ""


def _say(plan: ErasurePlan, result: Erasing) -> None:
    for event in plan.events:
        what = ", ".join("all of it" if not path else format_path(path) for path in event.paths)
        print_line(f"event {event.position:,}: {what}")
    verb = "erased" if result.erased else "would be erased"
    print_line(f"{summary(result)} {verb}{about(result)}")
    if plan.unsalted:
        note(
            f"{plan.unsalted:,} of these events have no salt, being of an earlier version or another program: who "
            "knows the rest of such an event can try values against its hash, which stays"
        )
