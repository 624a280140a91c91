"""All that commands print: data on stdout, notes on stderr, colours and frames on a terminal only.

Whatever comes here may hold texts of others: nothing but `print_exact` passes a control character on.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any

import click
import msgspec

from runlore.schemas.visible import visible, visible_json


def print_json(value: Any) -> None:
    """One JSON document, or one line of a stream of them, on stdout."""
    try:
        text = visible_json(msgspec.json.encode(value)).decode()
    except UnicodeEncodeError:  # the name of a folder that is no Unicode: Python's JSON can write it, as escapes
        text = json.dumps(msgspec.to_builtins(value), separators=(",", ":"))
    click.echo(text)


def print_line(text: str = "", indent: str = "", faint: str = "") -> None:
    """One line on stdout; `faint`: words before it, of less weight on a terminal."""
    word = click.style(visible(faint), dim=True) + " " if faint else ""
    click.echo(f"{indent}{word}{visible(text, lines=True)}")


def print_lines(lines: Iterable[str], indent: str = "  ") -> None:
    """Indented lines on stdout, such as commands to try."""
    for line in lines:
        click.echo(indent + visible(line))


def print_exact(text: str | bytes) -> None:
    """A text on stdout to the byte, without a line end of ours: a note to be verified, a file."""
    click.echo(text, nl=False)


def print_pair(name: str, *values: str, width: int = 12, style: str | None = None) -> None:
    """A name in its own column, and values beside it, one per line. `style`: colour of the name on a terminal."""
    shown = f"{name:<{width}}"
    if style is not None and sys.stdout.isatty():
        shown = click.style(shown, fg=style)
    for number, value in enumerate(values):
        click.echo(f"{' ' * width if number else shown}{visible(value, lines=True)}")


def note(text: str) -> None:
    """A remark for the person at the keyboard, on stderr."""
    click.echo(visible(text, lines=True), err=True)


def note_count(what: str, done: int, total: int) -> None:
    """Progress on stderr: one line on a terminal that is written over, nothing elsewhere."""
    if sys.stderr.isatty():
        click.echo(f"\r{what}: {done:,} of {total:,}", nl=done >= total, err=True)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], title: str | None = None) -> None:
    """Rows on stdout: a table on a terminal; elsewhere tab-separated lines below a line `# title`."""
    if not sys.stdout.isatty():
        if title:
            click.echo(f"# {visible(title)}")
        for row in (columns, *rows):
            click.echo("\t".join(map(visible, row)))
        return
    # rich takes 60 ms to import: only who looks at a table pays for it.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    # Text is shown as it is; rich reads a str as markup.
    heading = None if title is None else Text(visible(title), style="table.title")
    table = Table(title=heading, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(Text(visible(column)))
    for row in rows:
        table.add_row(*(Text(visible(cell)) for cell in row))
    Console().print(table)
