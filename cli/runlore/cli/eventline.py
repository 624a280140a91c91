"""Events of the log as one line each, for people and as JSON."""

from __future__ import annotations

import datetime as dt
from typing import Any

from runlore.query.effect import Rejected
from runlore.query.records import event_record
from runlore.schemas.codec import decode_event
from runlore.schemas.errors import EventDecodeError
from runlore.schemas.events import (
    ArtifactVersionConsumed,
    ArtifactVersionProduced,
    Event,
    Fact,
    MetadataLogged,
    MetadataRetracted,
    ModelStageChanged,
    ModelVersionCreated,
    NoteAdded,
    RunDescribed,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
    TagsChanged,
    event_type,
)
from runlore.schemas.paths import format_path
from runlore.schemas.references import EntityRef
from runlore.schemas.signatures import short_key
from runlore.schemas.visible import visible
from runlore.store.audit.actor_keys import actor_key_in
from runlore.store.audit.erasure import is_erasure, parse_erasure
from runlore.store.audit.retention import Retention, is_retention, parse_retention
from runlore.store.audit.statement import is_statement, parse_statement
from runlore.store.cells import readable
from runlore.store.log_rows import LogRow

CLAIMED = "claimed"
"""Of an event that nobody signed: who it was is what its producer says."""


def event_text(row: LogRow, proof: str = "", rejected: Rejected | None = None) -> str:
    """Position, time, who, and what happened. `proof`: whom its signature proves, or `CLAIMED`; '' where unknown.

    It comes first: a name that a producer claims may hold any words. `rejected`: why the event has no effect.
    """
    start = f"{row.position:>8}  {_created(row):%Y-%m-%d %H:%M:%S}"
    try:
        event = decode_event(row.payload)
    except EventDecodeError as error:
        if is_statement(row.subject, row.payload):
            return f"{start}  the key that signs the log was {parse_statement(row.payload.decode()).reason}"
        if (stated := actor_key_in(row.subject, row.payload)) is not None:
            key = f"key {short_key(stated.key)} of {stated.actor} was {stated.state}: {stated.reason}"
            return visible(f"{start}  {key}")
        if is_erasure(row.subject, row.payload):
            erasure = parse_erasure(row.payload.decode())
            what = f"values of {len(erasure.events):,} events were erased for {erasure.who}: {erasure.reason}"
            return visible(f"{start}  {what}")
        if is_retention(row.subject, row.payload):
            return visible(f"{start}  {retention_text(parse_retention(row.payload.decode()))}")
        return visible(f"{start}  {row.subject}  cannot be decoded: {error}")
    without = f"  (no effect: {rejected.why})" if rejected else ""
    without = without or (f"  (duplicate of {row.duplicate_of})" if row.duplicate_of else "")
    erased = "  (values were erased)" if row.erased else ""
    who = f"{event.actor.user}@{event.actor.host}"
    if proof:
        who = f"{proof}: {who}" if proof == CLAIMED else f"{proof} ({who})"
    return visible(f"{start}  {who}  {_sentence(event)}{erased}{without}")


def retention_text(statement: Retention) -> str:
    """What a statement about retention says, for people."""
    what = {
        "add": "retention rule {} was made",
        "remove": "retention rule {} was removed",
        "hold": "legal hold {} was placed",
        "release": "legal hold {} was released",
    }[statement.act].format(statement.name)
    return f"{what} for {statement.who}: {statement.reason}"


def event_json(row: LogRow) -> dict[str, Any]:
    """Return an event of the log as JSON."""
    return event_record(row.position, row.event_id, _created(row), row.subject, row.duplicate_of, row.payload)


def _created(row: LogRow) -> dt.datetime:
    return dt.datetime.fromtimestamp(row.recorded_ns / 1e9, dt.UTC)


def _sentence(event: Event) -> str:
    where = f"{event.run}/{event.step}" if event.step else event.run or ""
    text = _what(event.fact, where)
    return f"{text}  [{where}]" if where and where not in text else text


def _what(fact: Fact, where: str) -> str:
    match fact:
        case MetadataLogged():
            values = ", ".join(f"{key}={readable(value)}" for key, value in fact.metadata.items())
            return f"{_targets(fact.targets)}  {values}"
        case MetadataRetracted():
            paths = ", ".join(map(format_path, fact.paths))
            return f"{_targets(fact.targets)}  retracted {paths}: {readable(fact.reason)}"
        case NoteAdded():
            return f"{_targets(fact.targets)}  note: {readable(fact.text)}"
        case TagsChanged():
            return f"{_targets(fact.targets)}  tags {_tags(fact)}"
        case RunDescribed():
            return f"run {where} described: {', '.join(fact.environment)}"
        case RunStarted():
            return f"run {where} of {fact.pipeline} started{_retry(fact.retry_of)}"
        case StepStarted():
            return f"step {where} started{_retry(fact.retry_of)}"
        case RunFinished() | StepFinished():
            kind = "run" if isinstance(fact, RunFinished) else "step"
            error = f": {fact.error_type}: {readable(fact.error_message)}" if fact.error_type else ""
            return f"{kind} {where} {fact.status}{error}"
        case ArtifactVersionProduced():
            return f"{fact.artifact}  produced"
        case ArtifactVersionConsumed():
            return f"{fact.artifact}  consumed"
        case ModelVersionCreated():
            return f"{fact.model}  created"
        case ModelStageChanged():
            reason = f": {readable(fact.reason)}" if fact.reason else ""
            return f"{fact.model}  stage {fact.stage}{reason}"
        case _:
            return event_type(fact)


def _tags(fact: TagsChanged) -> str:
    return " ".join([*(f"+{tag}" for tag in fact.added), *(f"-{tag}" for tag in fact.removed)])


def _retry(failed: EntityRef | None) -> str:
    return "" if failed is None else f" (retry of {failed})"


def _targets(targets: tuple[Any, ...]) -> str:
    return ", ".join(map(str, targets))
