"""The functions a step calls. Each checks its input, stores one event in the outbox, and returns a receipt.

They never wait for the network and never fail because of an outage. Bad input raises before anything is
stored: MetadataTypeError, EventTooLargeError, InvalidReferenceError, MissingContextError. OutboxError means that
the event could not be written to the local disk. A call without an entity in a thread or process that lost its run or
step is recorded on the process, with one warning (`lost`).
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

from runlore.producer.lifecycle import default_producer
from runlore.producer.receipts import Receipt
from runlore.producer.runs.lost import lost_target, run_of_lost
from runlore.producer.runs.place import PROCESS, Step, current_model, current_place, current_run, current_step
from runlore.schemas.errors import ArgumentError, MissingContextError
from runlore.schemas.events import (
    AnyFact,
    ArtifactVersionConsumed,
    MetadataLogged,
    MetadataRetracted,
    ModelStageChanged,
    NoteAdded,
    TagsChanged,
)
from runlore.schemas.names import check_name, check_text, exact_text
from runlore.schemas.references import EntityRef, check_stage, checked, checked_ref, parse_ref
from runlore.schemas.validity import check_at_step, check_occurred_at, exact_paths, exact_tags
from runlore.schemas.values import pack_metadata

Reference = str | EntityRef
Version = str | int
Named = str | tuple[str, Version]


def _emit(fact: AnyFact, occurred_at: dt.datetime | None = None) -> Receipt:
    run, place = current_place()
    if run is None and PROCESS.open:
        run = run_of_lost(fact)
    run_id, name = None if run is None else run.id, None if place is None else place.name
    if occurred_at is not None:
        occurred_at = check_occurred_at(occurred_at)
    return default_producer().emit_packed(fact, run_id, name, None, occurred_at)


def _log(metadata: Mapping[str, Any], target: EntityRef, step: int | None, occurred_at: dt.datetime | None) -> Receipt:
    return _emit(MetadataLogged((target,), pack_metadata(metadata), False, check_at_step(step)), occurred_at)


def log_metadata(
    metadata: Mapping[str, Any],
    entity: Reference | Iterable[Reference] | None = None,
    *,
    merge: bool = False,
    step: int | None = None,
    occurred_at: dt.datetime | None = None,
) -> Receipt:
    """Log metadata on any entity, or on several at once; without one, on the current step, else the run.

    Like ``dict.update``: each key gets a new value, a dict replaces its whole group. With `merge`, names that a
    group is not given again stay. `step` is the point on the training's own axis, such as a batch or an epoch;
    `occurred_at` when it happened, if not now. What is logged later is the latest, whatever its step or time.

        log_metadata({"owner": "ada"}, "dataset:reviews@2")
        log_metadata({"loss": 0.31}, step=1200)
    """
    targets = (parse_ref(entity),) if type(entity) is str else _targets(entity)
    at_step = None if step is None else check_at_step(step)
    return _emit(MetadataLogged(targets, pack_metadata(metadata), bool(merge), at_step), occurred_at)


def _targets(entity: Reference | Iterable[Reference] | None) -> tuple[EntityRef, ...]:
    if entity is None:
        run, step = current_place()
        if step is not None:
            return (step.ref,)
        if run is not None:
            return (EntityRef("run", run.id),)
        return (lost_target("not inside a run: pass entity=, for example 'model:churn@3'"),)
    targets = tuple(parse_ref(item) for item in _several(entity))
    if not targets:
        raise MissingContextError("entity is an empty list: nothing to log on")
    return targets


def _several(given: Any) -> Iterable[Any]:
    """The things that a caller gave as one or as several: a text, or what cannot be iterated, is one."""
    if isinstance(given, (str, EntityRef)):
        return (given,)
    try:
        several: Iterable[Any] = iter(given)
    except TypeError:  # not asked by type: numpy's arrays without dimensions say that they can be iterated
        return (given,)
    return several


def bulk_log_metadata(
    metadata: Mapping[str, Any],
    entities: Iterable[Reference] = (),
    *,
    pipeline_runs: Iterable[str] = (),
    step_runs: Iterable[Reference] = (),
    artifact_versions: Iterable[Named] = (),
    model_versions: Iterable[Named] = (),
    step: int | None = None,
    occurred_at: dt.datetime | None = None,
) -> Receipt:
    """Log the same metadata on many entities as one event: all of them or none.

    Versions are ``"name@version"`` or ``(name, version)``; runs are IDs; steps are references. One text is one of them.

        bulk_log_metadata({"approved": True}, model_versions=[("churn", 3), ("fraud", 1)])
    """
    targets = [parse_ref(entity) for entity in _several(entities)]
    targets += [checked(EntityRef("run", run)) for run in _several(pipeline_runs)]
    targets += [parse_ref(reference) for reference in _several(step_runs)]
    targets += [_named("artifact", item) for item in _several(artifact_versions)]
    targets += [_named("model", item) for item in _several(model_versions)]
    if not targets:
        raise MissingContextError("no entities: pass entities=, pipeline_runs=, step_runs= or versions")
    fact = MetadataLogged(tuple(targets), pack_metadata(metadata), False, check_at_step(step))
    return _emit(fact, occurred_at)


def _named(kind: str, item: Named) -> EntityRef:
    if isinstance(item, tuple) and len(item) == 2:
        name, version = item
        return checked_ref(kind, name, version)
    return parse_ref(f"{kind}:{text}" if isinstance(text := exact_text(item), str) else item)


def log_artifact_metadata(
    metadata: Mapping[str, Any],
    artifact_name: str | None = None,
    artifact_version: Version | None = None,
    *,
    step: int | None = None,
    occurred_at: dt.datetime | None = None,
) -> Receipt:
    """Log metadata on an artifact version.

    Inside a step an omitted name means the step's only output, and an omitted version the one the step makes or
    reads. Outside a step an omitted version means the latest.

        log_artifact_metadata({"rows": 1000}, "processed_data")
    """
    if artifact_name is None:
        place = current_step()
        if place is None:
            return _log(metadata, lost_target("outside a step, pass artifact_name="), step, occurred_at)
        artifact_name = _only_output(place)
    return _log(metadata, checked_ref("artifact", artifact_name, artifact_version), step, occurred_at)


def _only_output(step: Step) -> str:
    if len(step.outputs) != 1:
        what = f"has the outputs {', '.join(step.outputs)}" if step.outputs else "declares no output"
        raise MissingContextError(f"step {step.name!r} {what}: pass artifact_name=")
    return step.outputs[0]


def log_model_metadata(
    metadata: Mapping[str, Any],
    model_name: str | None = None,
    model_version: Version | None = None,
    *,
    step: int | None = None,
    occurred_at: dt.datetime | None = None,
) -> Receipt:
    """Log metadata on a model version.

    An omitted name means the model in context (of the step, else the pipeline). An omitted version means the
    run's version of that model, else the latest.

        log_model_metadata({"evaluation_metrics": {"accuracy": 0.93}}, "churn")
    """
    model = current_model()
    if model_name is None:
        if model is None:
            problem = "no model in context: pass model_name=, or declare one with @pipeline(model=Model('churn'))"
            return _log(metadata, lost_target(problem), step, occurred_at)
        model_name = model.name
    name: str = exact_text(model_name)
    if model_version is None and model is not None and model.name == name:
        model_version = model.version
    return _log(metadata, checked_ref("model", name, model_version), step, occurred_at)


def log_step_metadata(
    metadata: Mapping[str, Any],
    step_name: str | None = None,
    pipeline_name_id_or_prefix: str | None = None,
    run_id: str | None = None,
    *,
    step: int | None = None,
    occurred_at: dt.datetime | None = None,
) -> Receipt:
    """Log metadata on a step: inside one, on that step; else on `step_name` of a run.

    The run is `run_id`, or the last run of the pipeline `pipeline_name_id_or_prefix`, or the current run.

        log_step_metadata({"some_metadata": {"a_number": 3}}, "my_step", run_id="my_step_run_id")
    """
    if step_name is None:
        problem = "pass step_name= with run_id= or pipeline_name_id_or_prefix="
        if run_id is not None or pipeline_name_id_or_prefix is not None:
            raise MissingContextError(problem)
        place = current_step()
        return _log(metadata, place.ref if place is not None else lost_target(problem), step, occurred_at)
    if run_id is None and pipeline_name_id_or_prefix is None:
        run = current_run()
        if run is None:
            step_name = check_name("step", step_name)
            problem = f"step {step_name!r} of which run? Outside a run pass run_id= or pipeline_name_id_or_prefix="
            return _log(_of_step(step_name, metadata), lost_target(problem), step, occurred_at)
        run_id = run.id
    target = checked(EntityRef("step", step_name, run=run_id, pipeline=pipeline_name_id_or_prefix))
    return _log(metadata, target, step, occurred_at)


def _of_step(step_name: str, metadata: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a step's metadata under the keys that its run shows, ``step::key``."""
    return {f"{step_name}::{key}": value for key, value in metadata.items()}


def log_run_metadata(
    metadata: Mapping[str, Any],
    run_id: str | None = None,
    *,
    step: int | None = None,
    occurred_at: dt.datetime | None = None,
) -> Receipt:
    """Log metadata on a run; without `run_id`, on the current one.

    log_run_metadata({"git_commit": "1a2b3c"})
    """
    if run_id is None:
        run = current_run()
        if run is None:
            return _log(metadata, lost_target("not inside a run: pass run_id="), step, occurred_at)
        run_id = run.id
    return _log(metadata, checked_ref("run", run_id), step, occurred_at)


def retract_metadata(
    entity: Reference | Iterable[Reference],
    keys: str | Iterable[str | tuple[str, ...]],
    reason: str,
    *,
    occurred_at: dt.datetime | None = None,
) -> Receipt:
    """Withdraw keys, groups or single values, with a reason. Their history stays.

    retract_metadata("model:churn@3", ["evaluation_metrics.accuracy"], reason="leaked test data")
    """
    reason = check_text("reason", "" if reason is None else reason)  # pyright: ignore[reportUnnecessaryComparison] -- callers are untyped
    if not reason.strip():
        raise MissingContextError("reason is empty: give the reason for the retraction")
    paths = tuple(_several(keys))
    if not paths:
        raise MissingContextError("keys is empty: name the keys to retract")
    return _emit(MetadataRetracted(_targets(entity), exact_paths(paths), reason), occurred_at)


def use_artifact(name: str, version: Version | None = None, *, occurred_at: dt.datetime | None = None) -> Receipt:
    """Record that the current step reads an artifact version; without `version`, the latest.

    use_artifact("training_data", 3)
    """
    artifact = checked_ref("artifact", name, version)
    if current_step() is None:
        process = lost_target("use_artifact records what a step reads: call it inside one")
        consumed = pack_metadata({"consumed": {artifact.name: artifact.version or "latest"}})
        return _emit(MetadataLogged((process,), consumed, merge=True), occurred_at)
    return _emit(ArtifactVersionConsumed(artifact), occurred_at)


def set_model_stage(
    model_name: str,
    stage: str,
    model_version: Version | None = None,
    reason: str | None = None,
    *,
    occurred_at: dt.datetime | None = None,
) -> Receipt:
    """Move a model version to a stage such as ``production``; the version that held it becomes ``archived``.

    set_model_stage("churn", "production", 3, reason="best recall so far")
    """
    reason = reason if reason is None else check_text("reason", reason)
    fact = ModelStageChanged(checked_ref("model", model_name, model_version), check_stage(stage), reason)
    return _emit(fact, occurred_at)


def add_note(
    text: str, entity: Reference | Iterable[Reference] | None = None, *, occurred_at: dt.datetime | None = None
) -> Receipt:
    """Write a note on entities; without one, on the current step, else the run.

    add_note("trained on the repaired data", "model:churn@3")
    """
    text = check_text("note", "" if text is None else text)  # pyright: ignore[reportUnnecessaryComparison] -- callers are untyped
    if not text.strip():
        raise MissingContextError("the note is empty")
    return _emit(NoteAdded(_targets(entity), text), occurred_at)


def add_tags(
    tags: Iterable[str],
    entity: Reference | Iterable[Reference] | None = None,
    *,
    occurred_at: dt.datetime | None = None,
) -> Receipt:
    """Put tags on entities; without one, on the current step, else the run. Those they have stay.

    add_tags(["baseline", "cpu"], "run:7f3a")
    """
    return _tag(TagsChanged(_targets(entity), added=exact_tags(tags)), occurred_at)


def remove_tags(
    tags: Iterable[str],
    entity: Reference | Iterable[Reference] | None = None,
    *,
    occurred_at: dt.datetime | None = None,
) -> Receipt:
    """Take tags off entities; without one, off the current step, else the run.

    remove_tags(["baseline"], "run:7f3a")
    """
    return _tag(TagsChanged(_targets(entity), removed=exact_tags(tags)), occurred_at)


def _tag(fact: TagsChanged, occurred_at: dt.datetime | None) -> Receipt:
    if not fact.added and not fact.removed:
        raise ArgumentError("tags is empty: give at least one")
    return _emit(fact, occurred_at)
