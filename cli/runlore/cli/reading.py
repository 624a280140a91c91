"""What the read commands share: the client, and as of when it reads."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from runlore.query import Client

Decorated = TypeVar("Decorated", bound=Callable[..., Any])


class AsOfType(click.ParamType["int | dt.datetime"]):
    """A position, or an ISO 8601 time; a time without a zone is local."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | dt.datetime:
        if isinstance(value, (int, dt.datetime)):
            return value
        if str(value).isdecimal():
            return int(value)
        try:
            return dt.datetime.fromisoformat(value).astimezone()
        except ValueError:
            self.fail(f"{value!r} is neither a position nor a time such as 2026-03-01T18:00", param, ctx)


as_of_option = click.option(
    "--as-of", type=AsOfType(), metavar="WHEN", help="Read as the log knew it at a position or ISO time."
)


def open_client(data_dir: Path | None, project: str | None, as_of: int | dt.datetime | None = None) -> Client:
    """The client of a read command. Raises NotFoundError when there is no view yet."""
    return Client(data_dir, project, as_of)
