"""Options that several commands share, and what they mean together: the settings."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

import click

from runlore.schemas.errors import InvalidReferenceError, SettingsError
from runlore.schemas.references import EntityRef, parse_ref
from runlore.schemas.settings import Settings, read_settings
from runlore.store.ownership import require_shared_folder

MAX_NUMBER = 2**62
"""For counts and positions on the command line: what SQLite can hold, and reckon with."""
Decorated = TypeVar("Decorated", bound=Callable[..., Any])

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Data folder (or, to read, one view file); else RUNLORE_DATA_DIR, else ./.runlore.",
)
project_option = click.option("--project", help="Project; else RUNLORE_PROJECT, else 'default'.")
no_token_option = click.option(
    "--no-token", is_flag=True, help="Let every user of this machine see the page; else RUNLORE_DASHBOARD_NO_TOKEN."
)
who_option = click.option("--who", help="Who asked for it; else the user of this process. It stays, too.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


_WHAT = {
    "metadata": "All metadata.",
    "parameters": "All parameters of runs and steps.",
    "environment": "What runs were started in: code, command, packages.",
    "notes": "Notes.",
    "reasons": "Reasons of retractions and of changes of a stage.",
    "errors": "Error messages of runs and steps; the names of error types stay.",
    "everything": "All of these, and events in quarantine about it.",
}


def content_options(command: Decorated) -> Decorated:
    """Flags for kinds of content, collected in `what`."""

    @functools.wraps(command)
    def collected(**given: Any) -> Any:
        what = tuple(name for name in _WHAT if given.pop(name))
        return command(**given, what=what)

    decorated: Any = collected
    for name, text in reversed(_WHAT.items()):
        decorated = click.option(f"--{name}", is_flag=True, help=text)(decorated)
    return cast("Decorated", decorated)


class ReferenceType(click.ParamType[EntityRef]):
    """An entity such as `model:churn@3`; a text that does not parse is wrong usage."""

    name = "reference"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> EntityRef:
        try:
            return parse_ref(value)
        except InvalidReferenceError as error:
            self.fail(str(error), param, ctx)


REFERENCE = ReferenceType()
COUNT = click.IntRange(1, MAX_NUMBER)
POSITION = click.IntRange(0, MAX_NUMBER)


class TargetType(click.ParamType[Path]):
    """A file to write, in a folder that exists: a slip of the pen makes no folders. `dash`: `-` is stdout."""

    name = "file"

    def __init__(self, dash: bool = False) -> None:
        self._dash = dash

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path:
        path = Path(value)
        if self._dash and path == STDOUT:
            return path
        if path.is_dir():
            self.fail(f"{path} is a folder", param, ctx)
        if not path.parent.is_dir():
            self.fail(f"there is no folder {path.parent}; nothing was written", param, ctx)
        return path


STDOUT = Path("-")
TARGET = TargetType()
force_option = click.option("--force", is_flag=True, help="Overwrite the file if it exists.")


def require_new(path: Path, force: bool) -> None:
    """Raises UsageError when the file exists, unless it is to be overwritten."""
    if path.exists() and not force:
        raise click.UsageError(f"{path} exists already; --force overwrites it")


def settings_for(data_dir: Path | None = None, project: str | None = None, **overrides: Any) -> Settings:
    """The settings of a command: its options, else the environment. Raises SettingsError, FolderError."""
    settings = read_settings(data_dir=data_dir, project=project, **overrides)
    require_shared_folder(settings.data_dir)
    if settings.data_dir.is_file():
        raise SettingsError(f"{settings.data_dir} is a file: this command needs a data folder")
    return settings
