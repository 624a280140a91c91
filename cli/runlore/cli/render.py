"""How entities, entries and comparisons look in a terminal, and as JSON."""

from __future__ import annotations

import datetime as dt
from typing import Any, cast

from runlore.cli.output import print_table
from runlore.cli.plain import plain
from runlore.query import Comparison, Entity, Entry, PipelineRun, StepRun
from runlore.schemas.cells import readable
from runlore.schemas.special import StorageSize


def json_entry(entry: Entry) -> dict[str, Any]:
    """An entry with who, when and where."""
    return {
        "path": entry.path,
        "value": plain(entry.value),
        "type": entry.type,
        "position": entry.position,
        "recorded_at": entry.created,
        "occurred_at": entry.occurred_at,
        "user": entry.actor.user,
        "host": entry.actor.host,
        "pid": entry.actor.pid,
        "run": entry.run,
        "step": entry.step,
        "reason": entry.reason,
        "event_id": entry.event_id,
    }


def json_entity(entity: Entity) -> dict[str, Any]:
    """An entity with its fields and the current entry of each key."""
    return {
        "reference": entity.reference,
        "project": entity.project,
        "position": entity.position,
        "fields": plain(entity.fields),
        "metadata": {key: json_entry(entry) for key, entry in entity.run_metadata.items()},
    }


def text(value: Any) -> str:
    """A value on one line; sizes with their exact number."""
    if isinstance(value, StorageSize):
        return f"{value.human()} ({int(value):,} bytes)" if abs(value) >= 1000 else value.human()
    # Control characters of hostile or careless text must not reach the terminal.
    return "".join(char if char.isprintable() else f"\\x{ord(char):02x}" for char in readable(value))


def when(moment: dt.datetime | None) -> str:
    """A time in the reader's zone."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def who(entry: Entry) -> str:
    """User and host."""
    return f"{text(entry.actor.user)}@{text(entry.actor.host)}"


def where(entry: Entry) -> str:
    """The run and step an entry was logged from."""
    run = "" if entry.run is None else entry.run
    return text(run if entry.step is None else f"{run}/{entry.step}")


def print_entity(entity: Entity) -> None:
    """A heading, the fields, then one card for each group and one for all other keys."""
    fields = [(key, text(value)) for key, value in entity.fields.items()]
    print_table(("field", "value"), fields or [("position", str(entity.position))], entity.reference)
    if isinstance(entity, PipelineRun):
        steps = [
            (text(step.name), step.status or "", when(step.started_at), when(step.finished_at))
            for step in entity.steps.values()
        ]
        print_table(("step", "status", "started", "finished"), steps, "steps")
    if isinstance(entity, StepRun):
        for title, artifacts in (("inputs", entity.inputs), ("outputs", entity.outputs)):
            if artifacts:
                print_table((title,), [(text(artifact.reference),) for artifact in artifacts])
    print_cards(entity)


def print_cards(entity: Entity) -> None:
    """The specification's cards: a group each, and one for the keys that are in none."""
    single: list[Entry] = []
    for key, entry in entity.run_metadata.items():
        if entry.type == "dict" and entry.value:
            group = cast(dict[str, Any], entry.value)
            print_table(("key", "value"), [(text(name), text(value)) for name, value in group.items()], text(key))
        else:
            single.append(entry)
    if single:
        rows = [(text(e.key), text(e.value), e.type, when(e.created), who(e)) for e in single]
        print_table(("key", "value", "type", "recorded", "by"), rows, "metadata")


def print_history(entries: list[Entry], title: str) -> None:
    """A key's past, oldest first."""
    rows = [
        (
            str(entry.position),
            when(entry.created),
            f"({entry.type}{': ' + text(entry.reason) if entry.reason else ''})" if entry.ended else text(entry.value),
            entry.type,
            who(entry),
            where(entry),
        )
        for entry in entries
    ]
    print_table(("position", "recorded", "value", "type", "by", "run/step"), rows, title)


def print_comparison(comparison: Comparison, all_rows: bool) -> None:
    """Differing leaves first, marked; equal ones only when asked for."""
    rows = [
        (
            "≠" if row.differs else "=",
            text(row.path),
            *(text(value) if there else "" for value, there in zip(row.values, row.present, strict=True)),
        )
        for row in comparison.rows
        if row.differs or all_rows
    ]
    print_table(("", "key", *(text(_short(entity)) for entity in comparison.entities)), rows)


def _short(entity: Entity) -> str:
    return f"run {entity.name}" if isinstance(entity, PipelineRun) else entity.reference
