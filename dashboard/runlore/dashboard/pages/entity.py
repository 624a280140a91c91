"""The page of one entity: its metadata as cards, steps, links, notes and retractions."""

from __future__ import annotations

import datetime as dt
from collections.abc import Container, Iterator
from typing import Any, NamedTuple

import msgspec
from starlette.responses import PlainTextResponse, Response

from runlore.dashboard.display import Shown, show, show_entry
from runlore.dashboard.drawing import bars
from runlore.dashboard.fields import FieldCell, field_cell, fields_of
from runlore.dashboard.graphs import neighbours
from runlore.dashboard.pages.environment import environment_of
from runlore.dashboard.python_text import python_text
from runlore.dashboard.rendering import render
from runlore.dashboard.visit import Visit
from runlore.query import Entity, Entry, PipelineRun
from runlore.query.compare.diff import Difference
from runlore.query.page.sparklines import sparklines
from runlore.query.plain import plain
from runlore.query.time.moment import NO_END
from runlore.schemas.errors import ArgumentError, NotFoundError
from runlore.schemas.paths import parse_path
from runlore.schemas.visible import visible, visible_json

LINES = 500
"""Maximum number of values on one page; the API has all of them."""
STEPS = 100
"""Maximum number of steps on the time line; the list of steps has all of them."""
MAX_CHANGES = 100
VERSIONS = 8
OWN_FIELDS = (
    "name", "status", "error_type", "error_message", "started_at", "finished_at", "parameters", "environment", "note",
)  # fmt: skip
"""Fields that the page shows in their own place, not in the list of facts."""


class Fact(NamedTuple):
    """One field of the entity, with the address of its history."""

    name: str
    href: str
    cell: FieldCell


class ChangeSince(NamedTuple):
    """A field or key that differs between the moment and now; None where it is absent."""

    name: str
    href: str
    before: Shown | None
    after: Shown | None
    relative: str = ""
    """Relative change of a number, in percent."""


class CardLine(NamedTuple):
    """One value on a card: its names within the card, its entry, and its earlier numbers."""

    names: list[str]
    shown: Shown
    entry: Entry
    spark: list[float] | None


class GroupCard(NamedTuple):
    """A group of metadata, or the keys without a group (`key` is None)."""

    title: str
    key: str | None
    lines: list[CardLine]


def entity(visit: Visit) -> Response:
    """`/entity?ref=…`"""
    shown = visit.entity()
    fields = fields_of(shown)
    blame = shown.blame(ended=True)
    live, small = [entry for entry in blame if not entry.ended], _small(shown)
    first = visit.number("from", 1, NO_END)
    steps = list(shown.steps.values()) if isinstance(shown, PipelineRun) else []
    around = neighbours(shown)
    return render(
        visit,
        "entity.html",
        entity=shown,
        fields=fields,
        facts=_facts(visit, shown, fields, around),
        cards=cards(live[first - 1 : first - 1 + LINES], small, {prefix for prefix, _ in shown.parts()}),
        values=len(live),
        pages=_pages(visit, first, len(live)),
        environment=environment_of(fields.get("environment")),
        retracted=[entry for entry in blame if entry.type == "retracted"],
        bars=bars(steps[:STEPS], visit.recorded_at or dt.datetime.now(dt.UTC)),
        steps=len(steps),
        around=around,
        versions=_versions(visit, shown),
        since=_since(visit, shown, fields),
        kind_shown=shown.kind,
        follows=shown.reference,
    )


class LinePage(NamedTuple):
    """One page of the values, by their numbers."""

    first: int
    last: int
    href: str | None
    """None for the page that is shown."""


def _pages(visit: Visit, shown: int, count: int) -> list[LinePage]:
    """Return the pages of many values; none where one page has them all."""
    if count <= LINES and shown == 1:
        return []
    return [
        LinePage(
            first,
            min(count, first + LINES - 1),
            None if first == shown else visit.here(**{"from": None if first == 1 else first}),
        )
        for first in range(1, count + 1, LINES)
    ]


def _facts(visit: Visit, shown: Entity, fields: dict[str, Any], around: list[tuple[str, list[Entity]]]) -> list[Fact]:
    """Return the fields that have no place of their own; run and producer are among the neighbours where known."""
    elsewhere = {*OWN_FIELDS, "seconds", *(("run", "produced_by") if around else ())}
    return [
        Fact(
            name.replace("_", " "),
            visit.url("/history", ref=shown.reference, field=name),
            # A status in the heading is a badge; here it is text.
            FieldCell(shown=show(value)) if name in ("status", "stage") else field_cell(visit, name, value),
        )
        for name, value in fields.items()
        if name not in elsewhere
    ]


def cards(entries: list[Entry], small: dict[str, list[float]], prefixes: Container[str]) -> list[GroupCard]:
    """Return a card for each group, after one for the keys without a group; for a step's keys likewise.

    `prefixes`: prefixes of the keys of steps, such as ``train::``.
    """
    made: dict[tuple[str, str | None], list[CardLine]] = {}
    for entry in entries:
        parts = parse_path(entry.path)
        prefix = _prefix(parts[0], prefixes)
        names = (parts[0].removeprefix(prefix), *parts[1:])
        group = names[0] if len(names) > 1 else None
        title = (f"{prefix.removesuffix('::')} › " if prefix else "") + (group or "")
        labels = [visible(name) for name in (names[1:] if group else names)]
        line = CardLine(labels, show_entry(entry), entry, small.get(entry.path))
        made.setdefault((title, parts[0] if group else None), []).append(line)
    # Ungrouped keys first, each part in the order of the log.
    return [
        GroupCard(visible(title).removesuffix(" › ") or "Keys", key, lines)
        for (title, key), lines in sorted(made.items(), key=lambda item: item[0][0] != "")
    ]


def _prefix(key: str, prefixes: Container[str]) -> str:
    """Return the longest prefix of a key; a step's name may hold the separator too."""
    names = key.split("::")[:-1]
    for count in range(len(names), 0, -1):
        prefix = "".join(f"{name}::" for name in names[:count])
        if prefix in prefixes:
            return prefix
    return ""


def _small(shown: Entity) -> dict[str, list[float]]:
    """Return the small charts; none by the producers' clocks, where each would read the time of every event."""
    return sparklines(shown) if shown.moment.occurred_us is None else {}


def _versions(visit: Visit, shown: Entity) -> list[Entity]:
    if shown.version is None:
        return []
    return visit.client.list_entities(shown.kind, shown.name, VERSIONS)


def _since(visit: Visit, shown: Entity, then: dict[str, Any]) -> list[ChangeSince] | None:
    """Return the fields and keys that differ between the moment and now; None for a page of now."""
    if not visit.past:
        return None
    today = shown.seen_at(visit.now.scope.moment)
    changed = visit.now.diff(shown, today).only("added", "removed", "changed")[:MAX_CHANGES]
    return [*_changed_fields(visit, shown, then, today.fields), *(_changed_key(visit, shown, item) for item in changed)]


def _changed_fields(visit: Visit, shown: Entity, then: dict[str, Any], now: dict[str, Any]) -> Iterator[ChangeSince]:
    for name in (*now, *(name for name in then if name not in now and name != "seconds")):
        before, after = then.get(name), now.get(name)
        if before != after:
            href = visit.url("/history", ref=shown.reference, field=name, as_of=None)
            yield ChangeSince(name.replace("_", " "), href, _shown(before), _shown(after))


def _changed_key(visit: Visit, shown: Entity, item: Difference) -> ChangeSince:
    return ChangeSince(
        item.path,
        visit.url("/history", ref=shown.reference, path=item.path, as_of=None),
        None if item.change == "added" else show(item.before),
        None if item.change == "removed" else show(item.after),
        f"{item.relative:+.1%}" if item.relative is not None and item.delta else "",
    )


def _shown(value: Any) -> Shown | None:
    return None if value is None else show(value)


def copy_text(visit: Visit) -> Response:
    """`/copy?ref=…&as=json|python&key=…`: the metadata, or one key of it, as text."""
    shown = visit.entity()
    values: dict[str, Any] = shown.metadata
    key = visit.params.get("key")
    if key is not None and key not in values:
        raise NotFoundError(f"{shown.reference} has no key {key!r}")
    value = values if key is None else values[key]
    if visit.text("as") == "python":
        try:
            return PlainTextResponse(visible(python_text(value), lines=True))
        except ValueError as error:
            raise ArgumentError("a number has more digits than Python prints: copy the JSON instead") from error
    return PlainTextResponse(_json_lines(value))


def _json_lines(value: Any) -> str:
    return visible_json(msgspec.json.format(msgspec.json.encode(plain(value)))).decode()
