"""Options that several commands share, and what they mean together: the settings."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from runlore.schemas.errors import InvalidReferenceError, SettingsError
from runlore.schemas.references import EntityRef, parse_ref
from runlore.schemas.settings import Settings, read_settings

Decorated = TypeVar("Decorated", bound=Callable[..., Any])

data_dir_option = click.option(
    "--data-dir",
    type=click.Path(path_type=Path),
    help="Data folder (or, to read, one view file); else RUNLORE_DATA_DIR, else ./.runlore.",
)
project_option = click.option("--project", help="Project; else RUNLORE_PROJECT, else 'default'.")
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON instead of text.")


class ReferenceType(click.ParamType[EntityRef]):
    """An entity such as `model:churn@3`; a text that does not parse is wrong usage."""

    name = "reference"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> EntityRef:
        try:
            return parse_ref(value)
        except InvalidReferenceError as error:
            self.fail(str(error), param, ctx)


REFERENCE = ReferenceType()


def settings_for(data_dir: Path | None = None, project: str | None = None, **overrides: Any) -> Settings:
    """The settings of a command: its options, else the environment. Raises SettingsError."""
    if data_dir is not None and data_dir.is_file():
        raise SettingsError(f"{data_dir} is a file: this command needs a data folder")
    return read_settings(data_dir=data_dir, project=project, **overrides)
