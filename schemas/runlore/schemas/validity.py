"""One validator of facts and events, used by the producer before emitting and by the fold before applying.

The producer calls `exact_fact` and stores what it returns; values are `pack_metadata`'s. The fold calls `check_event`
on what it has decoded: the same functions, remembered for names and references that come again and again.
"""

from __future__ import annotations

import datetime as dt
import operator
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, get_args

from msgspec.structs import replace

from runlore.schemas.errors import ArgumentError, EventLimitError
from runlore.schemas.events import (
    Actor,
    AnyFact,
    ArtifactVersionConsumed,
    ArtifactVersionProduced,
    Event,
    MetadataLogged,
    MetadataRetracted,
    ModelStageChanged,
    ModelVersionCreated,
    NoteAdded,
    RunDescribed,
    RunFinished,
    RunStarted,
    RunStatus,
    StepFinished,
    StepStarted,
    TagsChanged,
)
from runlore.schemas.limits import MAX_NUMBER, MAX_PATHS, MAX_STEP_BYTES, MAX_TAGS
from runlore.schemas.names import check_label, check_name, check_text, exact_text
from runlore.schemas.paths import PathParts, check_path
from runlore.schemas.references import EntityRef, check_stage, checked
from runlore.schemas.shape import check_copied, check_counts, check_shape

_REMEMBERED = 65_536
_STATUSES: tuple[str, ...] = get_args(RunStatus)

_known_ref = lru_cache(maxsize=_REMEMBERED)(checked)
_known_names: set[str] = set()
_known_actors: set[Actor] = set()


def check_event(event: Event) -> None:
    """Raise ArgumentError where a decoded event holds a name or reference that no producer can emit.

    Raises EventLimitError where it is beyond a limit of `limits`.
    """
    _check_envelope(event)
    fact = event.fact
    if type(fact) is MetadataLogged:
        # The commonest fact; what `exact_fact` does, without a new one.
        for ref in fact.targets or exact_targets(()):
            _known_ref(ref)
        if fact.at_step is not None:
            check_at_step(fact.at_step)
        check_shape(len(fact.targets), fact.metadata)
    else:
        exact_fact(fact)
        check_size(fact)


def _check_envelope(event: Event) -> None:
    known = _known_names
    if event.project not in known:
        _learn("project", event.project)
    if event.producer_id not in known:
        _learn("producer", event.producer_id)
    if event.actor not in _known_actors:
        _learn_actor(event.actor)
    if not 0 < event.producer_seq <= MAX_NUMBER:
        raise ArgumentError(f"producer_seq must be from 1 to {MAX_NUMBER:,}, not {event.producer_seq:,}")
    if event.run is not None and event.run not in known:
        _learn("run", event.run)
    if event.step is not None and event.step not in known:
        check_name("step", event.step, MAX_STEP_BYTES)


def _learn(what: str, name: str) -> None:
    check_name(what, name)
    if len(_known_names) >= _REMEMBERED:
        _known_names.clear()
    _known_names.add(name)


def _learn_actor(actor: Actor) -> None:
    for what, text in (("user", actor.user), ("host", actor.host), ("library", actor.library)):
        check_label(what, text)
    if not 0 <= actor.pid <= MAX_NUMBER:
        raise ArgumentError(f"pid must be from 0 to {MAX_NUMBER:,}, not {actor.pid:,}")
    if len(_known_actors) >= _REMEMBERED:
        _known_actors.clear()
    _known_actors.add(actor)


def check_size(fact: AnyFact) -> None:
    """Raise EventLimitError where a fact with packed or decoded values is about too much at once."""
    if isinstance(fact, MetadataLogged):
        check_shape(len(fact.targets), fact.metadata)
    elif isinstance(fact, MetadataRetracted):
        check_counts(len(fact.targets), len(fact.paths), "paths")
        check_copied(len(fact.targets) * len(fact.paths), len(fact.reason))
    elif isinstance(fact, (RunStarted, StepStarted)):
        check_shape(1, fact.parameters)
    elif isinstance(fact, RunDescribed):
        check_shape(1, fact.environment)
    elif isinstance(fact, TagsChanged):
        check_counts(len(fact.targets), len(fact.added) + len(fact.removed), "tags")
    elif isinstance(fact, NoteAdded):
        check_counts(len(fact.targets), 1, "notes")
        check_copied(len(fact.targets), len(fact.text))


def exact_fact(fact: AnyFact) -> AnyFact:
    """The fact with exact names, references and texts; its values stay as they are.

    Raises ArgumentError for a part that cannot be stored, EventLimitError for too many of them.
    """
    return _EXACT[type(fact)](fact)


def exact_targets(refs: Iterable[EntityRef]) -> tuple[EntityRef, ...]:
    """The references of an event, checked. Raises InvalidReferenceError, ArgumentError when there is none."""
    targets = tuple([_known_ref(ref) if _is_plain(ref) else checked(ref) for ref in refs])
    if not targets:
        raise ArgumentError("no entities: say what the event is about")
    return targets


def _is_plain(ref: EntityRef) -> bool:
    """Return whether a reference has a hash, and equals only references of the same texts."""
    return all(part is None or type(part) is str for part in (ref.kind, ref.name, ref.version, ref.run, ref.pipeline))


def check_at_step(at_step: Any) -> int | None:
    """A step of the training's axis as an exact int, also one of numpy. Raises ArgumentError beyond 64 bits."""
    if at_step is None:
        return None
    try:
        number = None if isinstance(at_step, bool) else operator.index(at_step)
    except TypeError:
        number = None
    if number is None or not -(2**63) <= number < 2**63:
        raise ArgumentError(f"step must be a whole number of at most 64 bits, not {ascii(at_step)[:40]}")
    return number


def check_occurred_at(moment: Any) -> dt.datetime | None:
    """A moment in UTC. Raises ArgumentError for what is no time, or a time without its zone."""
    if moment is None:
        return None
    if not isinstance(moment, dt.datetime) or moment != moment:  # pandas.NaT is a datetime, and none
        raise ArgumentError(f"occurred_at must be a datetime, not {ascii(moment)[:40]}")
    if moment.utcoffset() is None:
        raise ArgumentError("occurred_at has no time zone: pass an aware datetime, such as datetime.now(UTC)")
    try:
        utc = moment.astimezone(dt.UTC)
    except OverflowError:
        raise ArgumentError(f"occurred_at is beyond the years that UTC has: {ascii(moment)[:60]}") from None
    return dt.datetime.combine(utc.date(), utc.time(), dt.UTC)  # exact: pandas has a subclass


def exact_paths(paths: Iterable[Any]) -> tuple[PathParts, ...]:
    """The paths of a retraction, checked. Raises ArgumentError, EventLimitError for too many."""
    exact = tuple(map(check_path, paths))
    if not exact:
        raise ArgumentError("no paths: say what no longer holds")
    if len(exact) > MAX_PATHS:
        raise EventLimitError(f"{len(exact):,} paths; one retraction has at most {MAX_PATHS:,}: split the call")
    return exact


def exact_tags(tags: Iterable[Any]) -> tuple[str, ...]:
    """Tags, checked, each once; one text is one tag. Raises InvalidReferenceError, EventLimitError for too many."""
    texts: Iterable[Any] = [tags] if isinstance(tags, (str, bytes)) or not isinstance(tags, Iterable) else tags  # pyright: ignore[reportUnnecessaryIsInstance] -- callers are untyped
    exact = tuple(dict.fromkeys(check_name("tag", tag) for tag in texts))
    if len(exact) > MAX_TAGS:
        raise EventLimitError(f"{len(exact):,} tags; one event has at most {MAX_TAGS:,}")
    return exact


def _logged(fact: MetadataLogged) -> MetadataLogged:
    targets, at_step = exact_targets(fact.targets), check_at_step(fact.at_step)
    return replace(fact, targets=targets, merge=bool(fact.merge), at_step=at_step)


def _retracted(fact: MetadataRetracted) -> MetadataRetracted:
    reason = check_text("reason", fact.reason)
    return replace(fact, targets=exact_targets(fact.targets), paths=exact_paths(fact.paths), reason=reason)


def _run_started(fact: RunStarted) -> RunStarted:
    pipeline, name = check_name("pipeline", fact.pipeline), check_label("run name", fact.name)
    return replace(
        fact,
        pipeline=pipeline,
        name=name,
        model=_ref(fact.model),
        retry_of=_ref(fact.retry_of),
        parent=_ref(fact.parent),
        group=None if fact.group is None else check_name("group", fact.group),
        tags=exact_tags(fact.tags),
    )


def _step_started(fact: StepStarted) -> StepStarted:
    return replace(fact, model=_ref(fact.model), retry_of=_ref(fact.retry_of))


def _finished(fact: RunFinished | StepFinished) -> RunFinished | StepFinished:
    status = exact_text(fact.status)
    if status not in _STATUSES:
        raise ArgumentError(f"status must be one of {', '.join(_STATUSES)}, not {ascii(status)[:40]}")
    kind, message = _text("error type", fact.error_type), _text("error message", fact.error_message)
    return replace(fact, status=status, error_type=kind, error_message=message)


def _produced(fact: ArtifactVersionProduced) -> ArtifactVersionProduced:
    artifact, kind = checked(fact.artifact), _text("data type", fact.data_type)
    return replace(fact, artifact=artifact, data_type=kind, is_model_artifact=bool(fact.is_model_artifact))


def _consumed(fact: ArtifactVersionConsumed) -> ArtifactVersionConsumed:
    return replace(fact, artifact=checked(fact.artifact), produced_by=_ref(fact.produced_by))


def _version_created(fact: ModelVersionCreated) -> ModelVersionCreated:
    return replace(fact, model=checked(fact.model))


def _stage_changed(fact: ModelStageChanged) -> ModelStageChanged:
    stage, reason = check_stage(fact.stage), _text("reason", fact.reason)
    return replace(fact, model=checked(fact.model), stage=stage, reason=reason)


def _noted(fact: NoteAdded) -> NoteAdded:
    return replace(fact, targets=exact_targets(fact.targets), text=check_text("note", fact.text))


def _tagged(fact: TagsChanged) -> TagsChanged:
    added, removed = exact_tags(fact.added), exact_tags(fact.removed)
    if not added and not removed:
        raise ArgumentError("no tags: say which to add or to remove")
    return replace(fact, targets=exact_targets(fact.targets), added=added, removed=removed)


def _described(fact: RunDescribed) -> RunDescribed:
    return fact


def _ref(ref: EntityRef | None) -> EntityRef | None:
    return None if ref is None else checked(ref)


def _text(what: str, text: str | None) -> str | None:
    return None if text is None else check_text(what, text)


_EXACT: dict[type, Callable[[Any], AnyFact]] = {
    MetadataLogged: _logged,
    MetadataRetracted: _retracted,
    RunStarted: _run_started,
    RunFinished: _finished,
    StepStarted: _step_started,
    StepFinished: _finished,
    ArtifactVersionProduced: _produced,
    ArtifactVersionConsumed: _consumed,
    ModelVersionCreated: _version_created,
    ModelStageChanged: _stage_changed,
    NoteAdded: _noted,
    TagsChanged: _tagged,
    RunDescribed: _described,
}
