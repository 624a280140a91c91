"""Reading for the tools: at a moment, in pages, and never more than a model can take in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, TypeVar, cast

import msgspec

from runlore.query import Client, Entity, Entry, entity_record, entry_record, plain
from runlore.schemas import ArgumentError, parse_ref

MAX_TEXT = 2_000
"""Characters of a text; the rest is cut off, and counted."""
MAX_VALUE = 8_000
"""Bytes of a value as JSON; what is larger is named by its size."""

Item = TypeVar("Item")


class Paged(Protocol):
    """A question whose answer has pages."""

    @property
    def as_of(self) -> int | str | None: ...
    @property
    def limit(self) -> int: ...
    @property
    def cursor(self) -> str | None: ...


def client_at(client: Client, as_of: int | str | None) -> Client:
    """Return the client as of a moment. Raises MomentError."""
    return client if as_of is None else Client.over(client.scope.at(client.scope.moment_of(as_of)))


def client_of_page(client: Client, question: Paged) -> tuple[Client, int]:
    """Return the client that all pages of an answer read with, and the number of the results before this page.

    Raises ArgumentError for a cursor that is none.
    """
    if question.cursor is None:
        at = client_at(client, question.as_of)
        return client_at(at, at.position), 0
    position, _, offset = question.cursor.partition(".")
    if not (position.isdecimal() and offset.isdecimal() and len(question.cursor) < 40):
        raise ArgumentError("This cursor is none of this tool's: pass the `cursor` of the answer before as it was")
    return client_at(client, int(position)), int(offset)


def page(items: Sequence[Item], question: Paged, client: Client, offset: int) -> tuple[list[Item], str | None]:
    """Return the results of one page, and the cursor of the next."""
    end = offset + question.limit
    return list(items[offset:end]), f"{client.position}.{end}" if end < len(items) else None


def entity_of(client: Client, reference: str) -> Entity:
    """Return the entity of a reference; a run also by its name, pipeline, or the beginning of its ID."""
    ref = parse_ref(reference)
    return client.get_pipeline_run(ref.name) if ref.kind == "run" else client.get(ref)


def shown(value: Any) -> Any:
    """Return a value of JSON as it is shown: long texts cut, what is large named by its size."""
    value = _cut(value)
    size = len(msgspec.json.encode(value))
    return value if size <= MAX_VALUE else _not_shown(type(value).__name__, size)


def _cut(value: Any) -> Any:
    match value:
        case str():
            return value if len(value) <= MAX_TEXT else f"{value[:MAX_TEXT]}… ({len(value):,} characters in all)"
        case dict():
            return {_cut(key): _cut(item) for key, item in cast("dict[str, Any]", value).items()}
        case list():
            return [_cut(item) for item in value]  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType] -- JSON
        case _:
            return value


def _not_shown(kind: str, size: int) -> dict[str, str]:
    return {"not_shown": f"{kind} of {size:,} bytes: ask for the paths below it"}


def entry(found: Entry) -> dict[str, Any]:
    """Return the record of an entry, its values as they are shown."""
    record = entry_record(found)
    return {**record, "value": shown(record["value"]), "previous": shown(record["previous"])}


def entity(found: Entity) -> dict[str, Any]:
    """Return the record of an entity, its fields as they are shown."""
    record = entity_record(found)
    return {**record, "fields": {name: shown(value) for name, value in record["fields"].items()}}


def shown_value(value: Any) -> Any:
    """Return a Python value as it is shown."""
    return shown(plain(value))
