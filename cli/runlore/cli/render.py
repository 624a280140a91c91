"""Entities and entries in a terminal."""

from __future__ import annotations

import datetime as dt
from typing import Any, cast

from runlore.cli.output import print_table
from runlore.query import Entity, Entry, PipelineRun, StepRun
from runlore.query.page.environment import environment_line, is_group
from runlore.schemas.special import StorageSize
from runlore.schemas.visible import visible
from runlore.store.cells import readable


def text(value: Any) -> str:
    """A value on one line; sizes with their exact number."""
    if isinstance(value, StorageSize):
        return f"{value.human()} ({int(value):,} bytes)" if abs(value) >= 1000 else value.human()
    return visible(readable(value))


def when(moment: dt.datetime | None) -> str:
    """A time in the reader's zone."""
    return "" if moment is None else moment.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def who(entry: Entry) -> str:
    """User and host, as the producer says."""
    return f"{text(entry.actor.user)}@{text(entry.actor.host)}"


def where(entry: Entry) -> str:
    """The run and step an entry was logged from."""
    run = "" if entry.run is None else entry.run
    return text(run if entry.step is None else f"{run}/{entry.step}")


def print_entity(entity: Entity) -> None:
    """A heading, the fields, then one card for each group and one for all other keys."""
    fields = [(key, _field(key, value)) for key, value in entity.fields.items() if key != "note"]
    print_table(("field", "value"), fields or [("event", str(entity.position))], entity.reference)
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
    print_notes(entity)


def _field(name: str, value: Any) -> str:
    """A field's value; of a run's environment a line, as it has hundreds of packages. `--json` has all of it."""
    return text(environment_line(value)) if name == "environment" and is_group(value) else text(value)


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


def print_notes(entity: Entity) -> None:
    """All notes, the newest last."""
    notes = [(text(entry.value), when(entry.created), who(entry)) for entry in entity.notes]
    if notes:
        print_table(("note", "recorded", "by"), notes, "notes")


def ended_or(entry: Entry) -> str:
    """The value of an entry, or how it ended and why."""
    if not entry.ended:
        return text(entry.value)
    return f"({entry.type}{': ' + text(entry.reason) if entry.reason else ''})"
