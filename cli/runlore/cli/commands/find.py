"""`runlore find`: entities that match a filter."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import click

from runlore.cli.options import COUNT, data_dir_option, json_option, project_option
from runlore.cli.output import note, print_json, print_table
from runlore.cli.reading import When, as_of_option, note_zone, open_client, unknown_kind
from runlore.cli.render import text, when
from runlore.query import Client, Entity, Found
from runlore.query.find.ast import Key, keys_of
from runlore.query.find.checks import ENTITY_FIELDS
from runlore.query.find.parse import parse, parse_key
from runlore.query.find.unknown import unknown_keys
from runlore.query.records import whole_record
from runlore.query.view.connection import ViewReader
from runlore.schemas.paths import format_path


@click.command("find")
@click.argument("kind")
@click.argument("filters", metavar="[FILTER]...", nargs=-1)
@click.option("--order-by", metavar="KEY", help="A key or field; else the newest come first.")
@click.option("--desc", "descending", is_flag=True, help="With --order-by: the largest first.")
@click.option("-n", "--limit", type=COUNT, default=20, show_default=True, help="Maximum number of results.")
@click.option("--after", metavar="CURSOR", help="The next page: the cursor that the page before ended with.")
@click.option("--columns", metavar="KEY,KEY", help="Keys to show; else those the filter and the order mention.")
@click.option("--strict", is_flag=True, help="Exit 3 where no entity has a key or is of the KIND: for scripts.")
@as_of_option
@json_option
@project_option
@data_dir_option
def find(
    kind: str,
    filters: tuple[str, ...],
    order_by: str | None,
    descending: bool,
    limit: int,
    after: str | None,
    columns: str | None,
    strict: bool,
    as_of: When | None,
    as_json: bool,
    project: str | None,
    data_dir: Path | None,
) -> None:
    """Find entities of a KIND (run, step, model, artifact, ...; any: of all) that match every FILTER.

    \b
    Examples:
      runlore find model "metrics.accuracy > 0.9 and framework = 'sklearn' and not retired"
      runlore find run "status = 'failed'" --as-of 2026-03-01T18:00
      runlore find artifact "size > 1.5MB" --order-by size --desc -n 5
      runlore find model accuracy:gte:0.9 name:contains:churn
    """
    note_zone(filters)
    shown = _columns(filters, order_by, columns)
    with open_client(data_dir, project, as_of) as client, client.scope.reader.read():
        found = client.find(
            None if kind == "any" else kind,
            filters,
            order_by=order_by,
            descending=descending,
            limit=limit,
            after=after,
        )
        slips = _slips(client, kind, found, columns)
        if as_json:
            entities = [whole_record(entity) for entity in found]
            print_json({"position": found.position, "cursor": found.cursor, "entities": entities})
            _tell(slips, strict)
            return
        rows = [(text(entity.reference), *_cells(entity, shown), when(entity.created)) for entity in found]
        print_table(("entity", *map(_title, shown), "created"), rows)
    if found.cursor is not None:
        note(f"more: --after {found.cursor}")
    _tell(slips, strict)


def _slips(client: Client, kind: str, found: Found, columns: str | None) -> list[str]:
    """What nothing has of the question: the kind, else keys."""
    if not found and kind != "any" and (unknown := unknown_kind(client, kind)) is not None:
        return [unknown]
    slips = [*found.unknown]
    reader = cast("object", client.scope.reader)  # a line to a service, where that is asked
    if columns is not None and isinstance(reader, ViewReader):
        wanted = _columns((), None, columns)
        slips += unknown_keys(client.scope, None if kind == "any" else kind, wanted, of_kind=not found)
    return list(dict.fromkeys(map(str, slips)))


def _tell(slips: list[str], strict: bool) -> None:
    for slip in slips:
        note(text(slip))
    if slips and strict:
        raise click.exceptions.Exit(3)


def _columns(filters: tuple[str, ...], order_by: str | None, columns: str | None) -> list[Key]:
    if columns is not None:
        return [parse_key(name) for name in columns.split(",") if name.strip()]
    expression = parse(filters)
    keys = [] if expression is None else keys_of(expression)
    return list(dict.fromkeys([*keys, *([] if order_by is None else [parse_key(order_by)])]))


def _title(key: Key) -> str:
    return text(format_path(key.parts))


def _cells(entity: Entity, keys: list[Key]) -> list[str]:
    if not keys:
        return []
    metadata, fields = entity.metadata, entity.fields
    return [_cell(entity, key, metadata, fields) for key in keys]


def _cell(entity: Entity, key: Key, metadata: dict[str, Any], fields: dict[str, Any]) -> str:
    name = key.parts[0]
    if len(key.parts) == 1 and not key.quoted:
        if name == "created":
            return when(entity.created)
        if name in ENTITY_FIELDS:
            value = getattr(entity, "id", entity.name) if name == entity.kind else getattr(entity, name, None)
            return "" if value is None else text(value)
        if name in ("stage", "status"):
            return text(fields.get(name, ""))
    for values in (metadata, fields):
        for parts in (key.parts, (".".join(key.parts),)):
            there, value = _value(values, parts)
            if there:
                return text(value)
    return ""


def _value(values: Any, parts: tuple[str, ...]) -> tuple[bool, Any]:
    for part in parts:
        if not isinstance(values, dict) or part not in values:
            return False, None
        values = values[part]  # pyright: ignore[reportUnknownVariableType] -- metadata is whatever was logged
    return True, values  # pyright: ignore[reportUnknownVariableType] -- as above
