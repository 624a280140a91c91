"""How commands speak: data on stdout, notes on stderr, colours and frames on a terminal only."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
import msgspec


def print_json(value: Any) -> None:
    """One JSON document, or one line of a stream of them, on stdout."""
    click.echo(msgspec.json.encode(value).decode())


def note(text: str) -> None:
    """A remark for the person at the keyboard, on stderr."""
    click.echo(text, err=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None) -> None:
    """Rows on stdout: a table on a terminal; elsewhere tab-separated lines below a line `# title`."""
    if not sys.stdout.isatty():
        if title:
            click.echo(f"# {_one_line(title)}")
        for row in (columns, *rows):
            click.echo("\t".join(_one_line(cell) for cell in row))
        return
    # rich takes 60 ms to import: only who looks at a table pays for it.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, title=title, title_justify="left", header_style="bold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    Console().print(table)


def _one_line(cell: str) -> str:
    return cell.replace("\t", " ").replace("\n", " ")
