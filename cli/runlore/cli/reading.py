"""Shared by the read commands: the client, and the moment that it reads."""

from __future__ import annotations

import datetime as dt
import sys
from pathlib import Path
from typing import Any, cast

import click

from runlore.cli.options import Decorated
from runlore.cli.output import note
from runlore.cli.render import text
from runlore.query import Client, Entity
from runlore.query.find import ast, literals
from runlore.query.find.parse import Filters, parse
from runlore.query.near import meant
from runlore.query.time.moment import Clock
from runlore.query.time.parse import read_when
from runlore.query.view.budget import TERMINAL_BYTES, decoding_at_most
from runlore.schemas.errors import MomentError
from runlore.schemas.references import EntityRef

When = int | dt.datetime
_CLOCK = "runlore.clock"


class WhenType(click.ParamType["int | dt.datetime"]):
    """A position, an ISO 8601 time, or a phrase; a time without a zone is local, with a note how it was read."""

    name = "when"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> When:
        if isinstance(value, (int, dt.datetime)):
            return value
        try:
            moment, local = read_when(str(value))
        except MomentError as error:
            self.fail(str(error), param, ctx)
        if local and isinstance(moment, dt.datetime):
            note(f"{value} was read as {moment.isoformat()} ({moment.tzname()}, local time); for UTC put Z behind it")
        return moment


WHEN = WhenType()


def as_of_option(command: Decorated) -> Decorated:
    """`--as-of WHEN`, passed as `as_of`; and `--as-of-clock`, which `open_client` takes from the context."""
    clock = click.option(
        "--as-of-clock",
        type=click.Choice(["recorded", "occurred"]),
        default="recorded",
        show_default=True,
        expose_value=False,
        callback=_remember_clock,
        help="The clock of times: the log's, or the producers' (what had happened by then according to them).",
    )
    as_of = click.option(
        "--as-of",
        type=WHEN,
        metavar="WHEN",
        help="Read the state as of an event number, an ISO time (a date: its midnight), or a phrase such as '2h ago'.",
    )
    return as_of(clock(command))


def _remember_clock(ctx: click.Context, param: click.Parameter, value: str) -> None:
    ctx.meta[_CLOCK] = value


def clock_of_context() -> Clock:
    """Return the clock that `--as-of-clock` of the command names."""
    return cast(Clock, click.get_current_context().meta.get(_CLOCK, "recorded"))


def open_client(
    data_dir: Path | None, project: str | None, as_of: When | None = None, *, exact: bool = False
) -> Client:
    """Return the client of a read command, with a note up to which event it reads, on a terminal or with `--as-of`.

    `exact`: with every value whole; else, without `--json`, the largest are named by their size.

    Raises NotFoundError when there is no view yet, MomentError for a position by the producers' clocks.
    """
    context = click.get_current_context()
    if not (exact or context.params.get("as_json")):
        context.with_resource(decoding_at_most(TERMINAL_BYTES))
    client = Client(data_dir, project, as_of, clock_of_context())
    if as_of is not None or sys.stdout.isatty():
        told = f", of what had occurred by {as_of}" if client.scope.moment.occurred_us is not None else ""
        note(f"up to event {client.position:,}{told}")
    return client


def note_zone(where: Filters | None) -> None:
    """Say on stderr how the times of a filter are read that name no zone. Raises FilterError."""
    expression = parse(where)
    if expression is None:
        return
    # A text compares with times, too, where it is one.
    found = (literals.time(it) if isinstance(it, str) else it for it in ast.literals_of(expression))
    if any(isinstance(it, ast.Time) and not it.zoned for it in found):
        note("times without a zone in the filter were read as UTC")


def note_unknown_kind(client: Client, kind: str) -> None:
    """Say on stderr that nothing is of a kind, and which kinds there are: why an answer is empty."""
    if (unknown := unknown_kind(client, kind)) is not None:
        note(text(unknown))


def unknown_kind(client: Client, kind: str) -> str | None:
    """A sentence where nothing is of a kind: which kinds there are, or which one may be meant."""
    kinds = client.list_kinds()
    if kind in kinds:
        return None
    like = meant(kind, kinds)
    known = ", ".join(kinds) or "none yet"
    return f"no entity of kind {kind}{like or f'; there are: {known}'}"


def entity_of(client: Client, reference: EntityRef) -> Entity:
    """The entity of a reference; a run also by its name, pipeline, or the beginning of its ID."""
    return client.get_pipeline_run(reference.name) if reference.kind == "run" else client.get(reference)
