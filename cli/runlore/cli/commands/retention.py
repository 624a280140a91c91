"""`runlore retention`: rules by which content is erased when it is old, and legal holds that keep it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import click

from runlore.cli.bundling import resolved
from runlore.cli.commands.erase import about, summary
from runlore.cli.options import content_options, data_dir_option, json_option, project_option, settings_for, who_option
from runlore.cli.output import note, print_json, print_line, print_table
from runlore.producer.actor import this_actor
from runlore.projector.erasures.erase import ErasingFolder, require_lines
from runlore.projector.erasures.holds import InForce, hold_of, rule_of
from runlore.projector.erasures.retaining import Carried, change_retention, run_rules
from runlore.projector.erasures.selection import Selection
from runlore.query import Client
from runlore.schemas.errors import NotFoundError
from runlore.schemas.references import parse_ref
from runlore.schemas.settings import Settings
from runlore.store.audit.retention import Hold, LoggedRetention, Retention, Rule

_AGE = re.compile(r"(\d{1,9})([smhdw])", re.ASCII)
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


class AgeType(click.ParamType[int]):
    """An age such as 365d or 12h, in seconds."""

    name = "age"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        found = _AGE.fullmatch(str(value))
        if found is None:
            self.fail(f"{value!r} is no age: write 365d, 12w, 24h, 30m or 90s", param, ctx)
        return int(found[1]) * _SECONDS[found[2]]


name_argument = click.argument("name")
reason_option = click.option("--reason", required=True, help="Why; it stays in the log.")
keys_option = click.option(
    "--key", "keys", multiple=True, metavar="PATTERN", help="Only keys like this (customer*, parameters.user*)."
)
timeout_option = click.option(
    "--timeout", type=click.FloatRange(0), default=60.0, show_default=True, help="Seconds to wait for the projector."
)


@click.group()
def retention() -> None:
    """Erase old content by rules, and keep what is under a legal hold.

    Rules and holds are entries of the log, signed by its key: every machine and auditor knows them. They are made in
    the projector's folder by the owner of that key. A rule does nothing until `runlore retention run --yes`, which
    a timer can call. Ages go by the log's clock: from when an event was recorded to the newest event.

    \b
    Examples:
      runlore retention add old-users --kind run --key "parameters.user*" --older-than 365d --reason "policy 7"
      runlore retention hold case-12 "model:churn*" --reason "court order" --who legal
      runlore retention run                           # what would be erased, and what a hold keeps
      runlore retention run --yes
      runlore retention release case-12 --reason "case closed"
    """


@retention.command()
@name_argument
@click.option("--kind", help="Only what was logged about entities of this kind.")
@keys_option
@content_options
@click.option("--older-than", required=True, type=AgeType(), metavar="AGE", help="365d, 12w, 24h, 30m, 90s.")
@reason_option
@who_option
@timeout_option
@project_option
@data_dir_option
def add(
    name: str,
    kind: str | None,
    keys: tuple[str, ...],
    what: tuple[str, ...],
    older_than: int,
    reason: str,
    who: str | None,
    timeout: float,
    project: str | None,
    data_dir: Path | None,
) -> None:
    """Add the rule NAME: content of this kind is erased when it is older than AGE.

    Without --key and an option that says what, all metadata is meant. A name is used once.
    """
    settings = settings_for(data_dir, project)
    Selection.of(what, patterns=keys)
    rule = Rule(project=settings.project, kind=kind, keys=keys, what=what, older_than=older_than)
    _change(settings, Retention("add", name, reason, _person(who), rule), timeout)
    note("the rule is in force; `runlore retention run` shows what it would erase now")


@retention.command()
@name_argument
@reason_option
@who_option
@timeout_option
@data_dir_option
def remove(name: str, reason: str, who: str | None, timeout: float, data_dir: Path | None) -> None:
    """Remove the rule NAME."""
    _change(settings_for(data_dir), Retention("remove", name, reason, _person(who)), timeout)


@retention.command()
@name_argument
@click.argument("entities", metavar="REFERENCE|PATTERN")
@keys_option
@reason_option
@who_option
@timeout_option
@project_option
@data_dir_option
def hold(
    name: str,
    entities: str,
    keys: tuple[str, ...],
    reason: str,
    who: str | None,
    timeout: float,
    project: str | None,
    data_dir: Path | None,
) -> None:
    """Place the legal hold NAME: nothing about these entities is erased until it is released.

    A PATTERN is a reference with * in it, such as "model:churn*"; a reference without a version means all versions, a
    run also its steps. A name is used once.
    """
    settings = settings_for(data_dir, project)
    body = Hold(project=settings.project, entities=_meant(settings, entities), keys=keys)
    _change(settings, Retention("hold", name, reason, _person(who), body), timeout)
    note(f"{body.entities} is under hold")


@retention.command()
@name_argument
@reason_option
@who_option
@timeout_option
@data_dir_option
def release(name: str, reason: str, who: str | None, timeout: float, data_dir: Path | None) -> None:
    """Release the legal hold NAME."""
    _change(settings_for(data_dir), Retention("release", name, reason, _person(who)), timeout)


@retention.command("list")
@json_option
@data_dir_option
def list_retention(as_json: bool, data_dir: Path | None) -> None:
    """List the rules and legal holds in force, of all projects."""
    found = ErasingFolder(settings_for(data_dir)).in_force()
    if as_json:
        print_json({"rules": _records(found.rules), "holds": _records(found.holds)})
        return
    _print_in_force(found)


@retention.command()
@who_option
@click.option("--yes", is_flag=True, help="Do it. Without it, only what would be erased is printed.")
@timeout_option
@json_option
@data_dir_option
def run(who: str | None, yes: bool, timeout: float, as_json: bool, data_dir: Path | None) -> None:
    """Show what the rules would erase now, and what holds keep; with --yes, erase it.

    These are erasures like others, and their reason names the rule.
    """
    folder = ErasingFolder(settings_for(data_dir))
    done = run_rules(folder, _person(who), timeout, dry_run=not yes)
    if as_json:
        print_json([one.record() for one in done])
    else:
        _print_carried(done, yes)
    left = dict.fromkeys(line for one in done for line in one.result.left)
    for line in left if yes else ["nothing was erased: --yes does it. It cannot be undone"]:
        note(line)


def _person(who: str | None) -> str:
    return who or this_actor().user


def _change(settings: Settings, statement: Retention, timeout: float) -> None:
    require_lines(statement.name, statement.reason, statement.who)
    change_retention(ErasingFolder(settings), statement, timeout)


def _meant(settings: Settings, entities: str) -> str:
    """A reference with its selector resolved as of now; a pattern as it is."""
    if any(char in entities for char in "*?["):
        return entities
    reference = parse_ref(entities)
    try:
        with Client(settings.data_dir, settings.project) as client:
            return str(resolved(client, reference))
    except NotFoundError:
        note(f"{reference} does not exist: the hold is for when it does")
        return str(reference)


def _records(found: dict[str, LoggedRetention]) -> list[dict[str, Any]]:
    return [
        {
            "name": logged.retention.name,
            "reason": logged.retention.reason,
            "who": logged.retention.who,
            "position": logged.position,
            **(_rule(logged) if isinstance(logged.retention.body, Rule) else _hold(logged)),
        }
        for logged in found.values()
    ]


def _rule(logged: LoggedRetention) -> dict[str, Any]:
    rule = rule_of(logged)
    return {
        "project": rule.project,
        "kind": rule.kind,
        "keys": rule.keys,
        "what": rule.what,
        "older_than": rule.older_than,
    }


def _hold(logged: LoggedRetention) -> dict[str, Any]:
    held = hold_of(logged)
    return {"project": held.project, "entities": held.entities, "keys": held.keys}


def _print_in_force(found: InForce) -> None:
    rows = [
        (name, rule.project, rule.kind or "any", _what(rule), _age(rule), *_why(one))
        for name, one in found.rules.items()
        if (rule := rule_of(one))
    ]
    print_table(("rule", "project", "kind", "what", "older than", "reason", "who", "event"), rows, "rules")
    holds = [
        (name, held.project, held.entities, ", ".join(held.keys) or "everything", *_why(one))
        for name, one in found.holds.items()
        if (held := hold_of(one))
    ]
    print_table(("hold", "project", "entities", "what", "reason", "who", "event"), holds, "legal holds")


def _what(rule: Rule) -> str:
    return ", ".join((*rule.keys, *rule.what)) or "metadata"


def _why(logged: LoggedRetention) -> tuple[str, str, str]:
    return logged.retention.reason, logged.retention.who, f"{logged.position:,}"


def _age(rule: Rule) -> str:
    unit = next(one for one in "wdhms" if rule.older_than % _SECONDS[one] == 0)
    return f"{rule.older_than // _SECONDS[unit]}{unit}"


def _print_carried(done: list[Carried], erased: bool) -> None:
    verb = "erased" if erased else "would be erased"
    for one in done:
        print_line(f"rule {one.name}: {summary(one.result)} {verb}{about(one.result)}")
        for kept in one.kept:
            print_line(str(kept), indent="  ")
    if not done:
        print_line("no rules")
