"""Facts before they are emitted: their subject, their checks, and the error for one that is too large."""

from __future__ import annotations

from typing import Any

import msgspec

from runlore.schemas.errors import EventTooLargeError, MissingContextError
from runlore.schemas.events import (
    AnyFact,
    ArtifactVersionConsumed,
    ArtifactVersionProduced,
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
)
from runlore.schemas.references import EntityRef, checked
from runlore.schemas.validity import exact_fact
from runlore.schemas.values import pack_metadata

_LARGEST_KEYS = 5
_encode = msgspec.msgpack.Encoder().encode


def subject_of(fact: AnyFact, run: str | None, step: str | None) -> EntityRef:
    """The first entity a fact is about. Raises MissingContextError when run or step is not given."""
    match fact:
        case MetadataLogged() | MetadataRetracted() | NoteAdded() | TagsChanged():
            return fact.targets[0]
        case StepStarted() | StepFinished():
            if step is None or run is None:
                raise MissingContextError("events of a step need run= and step=")
            return EntityRef("step", step, run=run)
        case ArtifactVersionProduced() | ArtifactVersionConsumed():
            return fact.artifact
        case ModelVersionCreated() | ModelStageChanged():
            return fact.model
        case RunStarted() | RunFinished() | RunDescribed():
            return _run_ref(run)


def _run_ref(run: str | None) -> EntityRef:
    if run is None:
        raise MissingContextError("events of a run need run=")
    return EntityRef("run", run)


def checked_fact(fact: AnyFact, run: str | None, step: str | None) -> AnyFact:
    """The fact with its references checked and its values packed."""
    if isinstance(fact, (MetadataLogged, MetadataRetracted, NoteAdded, TagsChanged)) and not fact.targets:
        raise MissingContextError("targets is empty: say which entities the event is about")
    if isinstance(fact, (ArtifactVersionProduced, ArtifactVersionConsumed)) and step is None:
        raise MissingContextError("artifact versions are produced and consumed by steps: pass run= and step=")
    checked(subject_of(fact, run, step))
    exact = exact_fact(fact)
    if isinstance(exact, MetadataLogged):
        return msgspec.structs.replace(exact, metadata=pack_metadata(exact.metadata))
    if isinstance(exact, (RunStarted, StepStarted)) and exact.parameters:
        return msgspec.structs.replace(exact, parameters=pack_metadata(exact.parameters))
    if isinstance(exact, RunDescribed):
        return msgspec.structs.replace(exact, environment=pack_metadata(exact.environment))
    return exact


def too_large(fact: AnyFact, size: int, limit: int) -> EventTooLargeError:
    """The error for an event over the limit, naming its largest keys."""
    metadata: dict[str, Any] = getattr(fact, "metadata", None) or getattr(fact, "parameters", None) or {}
    sizes = [(str(key), len(_encode(value))) for key, value in metadata.items()]
    sizes.sort(key=lambda pair: pair[1], reverse=True)
    return EventTooLargeError(size, limit, sizes[:_LARGEST_KEYS])
