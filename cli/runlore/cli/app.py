"""The command tree: each command's module is loaded when it is asked for, so that all start fast."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from runlore.cli.extras import advice
from runlore.schemas.errors import (
    ArgumentError,
    CorruptLogError,
    NewerSchemaError,
    NotFoundError,
    RunloreError,
    SettingsError,
    StreamDriftError,
    StreamMismatchError,
)
from runlore.schemas.visible import visible
from runlore.store.access import REFUSED, unusable

COMMANDS = {
    "up": "up:up",
    "demo": "demo:demo",
    "dashboard": "dashboard:dashboard",
    "log": "log:log",
    "retract": "retract:retract",
    "erase": "erase:erase",
    "retention": "retention:retention",
    "note": "note:note",
    "stage": "stage:stage",
    "show": "show:show",
    "history": "history:history",
    "find": "find:find",
    "diff": "diff:diff",
    "blame": "blame:blame",
    "list": "list_entities:list_entities",
    "search": "search:search",
    "compare": "compare:compare",
    "lineage": "lineage:lineage",
    "import": "import_past:import_past",
    "feed": "feed:feed",
    "tail": "tail:tail",
    "watch": "watch:watch",
    "projector": "projector:projector",
    "replica": "replica:replica",
    "query": "query:query",
    "mcp": "mcp:mcp",
    "project": "project:project",
    "rebuild": "rebuild:rebuild",
    "replay": "replay:replay_command",
    "audit": "audit:audit",
    "key": "key:key",
    "witness": "witness:witness",
    "outbox": "outbox:outbox",
    "export": "export:export",
    "stream": "stream:stream",
    "operator": "operator:operator",
    "doctor": "doctor:doctor",
}
"""Commands in the order of `--help`, each as module:attribute below `runlore.cli.commands`."""

EXIT_CODES: tuple[tuple[type[RunloreError], int], ...] = (
    (ArgumentError, 2),
    (SettingsError, 2),
    (NewerSchemaError, 2),
    (NotFoundError, 3),
    (CorruptLogError, 4),
    (StreamDriftError, 4),
    (StreamMismatchError, 4),
    (RunloreError, 1),
)
"""Exit codes of commands: the first row whose error matches. Usage errors of click are 2 as well."""


def exit_code(error: RunloreError) -> int:
    """Return the exit code of an error."""
    return next(code for kind, code in EXIT_CODES if isinstance(error, kind))


class Failure(click.ClickException):
    """An error of ours as click shows it: its sentence, and its exit code."""

    def __init__(self, error: RunloreError) -> None:
        super().__init__(visible(str(error), lines=True))
        self.exit_code: int = exit_code(error)  # type: ignore[misc]  # click declares a class variable


class Application(click.Group):
    """The group that imports commands late and shows Runlore's errors as one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name].partition(":")
        try:
            command = getattr(import_module(f"runlore.cli.commands.{module}"), attribute)
        except ModuleNotFoundError as error:
            raise _missing_extra(cmd_name, error) from error
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            from runlore.query.near import meant  # 100 ms: only who mistypes pays for it

            name = args[0] if args else ""
            vars(error)["message"] = f"{error.message.rstrip('.')}{meant(name, COMMANDS) or '.'}"
            raise

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except click.ClickException as error:  # may quote an argument
            vars(error)["message"] = visible(error.message, lines=True)
            raise
        except RunloreError as error:
            raise Failure(error) from error
        except ModuleNotFoundError as error:
            raise _missing_extra(ctx.invoked_subcommand or "", error) from error
        except OSError as error:
            if error.errno not in REFUSED or error.filename is None:
                raise
            raise Failure(unusable(Path(os.fsdecode(error.filename)), error)) from error


def _missing_extra(command: str, error: ModuleNotFoundError) -> click.ClickException:
    if (error.name or "runlore").partition(".")[0] == "runlore":
        raise error  # a fault of ours, not of the installation
    return click.ClickException(advice(command, error.name or ""))


@click.group(cls=Application, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="runlore", message="runlore %(version)s")
def app() -> None:
    """Metadata for machine-learning work that never forgets.

    Start everything with `runlore up`, or see it work with `runlore demo`.

    Data goes to stdout, notes to stderr. Exit codes: 0 ok, 1 failed, 2 wrong usage, 3 not found,
    4 verification failed.
    """
