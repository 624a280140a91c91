"""Bringing one run or model version of MLflow's past: whatever Runlore does not have yet, with its own times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, cast

from runlore.integrations.mlflow import mapping
from runlore.integrations.mlflow.host import Metric, RegisteredVersion, Run
from runlore.integrations.mlflow.mapping import Timed, model_ref, run_ref
from runlore.integrations.mlflow.models import ALIAS, IS_PROMPT, STAGE
from runlore.query import Client, Entity, ModelVersion, PipelineRun
from runlore.schemas import EntityRef, ModelVersionCreated, NoteAdded, NotFoundError

Point = tuple[int | None, int, str]
"""Step, milliseconds, and the value's text: not-a-number equals itself there."""


class Measurement(NamedTuple):
    """One value of a metric, as `mapping` takes it."""

    key: str
    value: float
    timestamp: int
    step: int


def known(client: Client, reference: EntityRef) -> Entity | None:
    """The entity as Runlore knows it."""
    try:
        return client.get(reference)
    except NotFoundError:
        return None


def missing_of_run(
    client: Client, run: Run, experiment: str, metrics: Mapping[str, list[Metric]], source: str
) -> list[Timed]:
    """Facts that make Runlore's run equal to MLflow's, oldest first."""
    ours = cast("PipelineRun | None", known(client, run_ref(run.info.run_id)))
    found: list[Timed] = []
    begin = mapping.started(run.info, experiment, run.data.tags)
    if ours is None or ours.status is None:
        found.append(begin)
    params = {key: mapping.plain(value) for key, value in run.data.params.items()}
    groups = {"parameters": params, **mapping.split_tags(run.data.tags)}
    groups["mlflow"] = {**groups.get("mlflow", {}), **mapping.described(run, source)}
    found += _values(ours, run_ref(run.info.run_id), groups, begin)
    found += _note(ours, run_ref(run.info.run_id), run.data.tags.get(mapping.NOTE), begin)
    missing = [point for key, points in metrics.items() for point in _missing_points(ours, key, points)]
    missing.sort(key=lambda point: (point.timestamp, point.step))
    found += mapping.measured(run.info.run_id, missing)
    ended = mapping.finished(run.info.status, run.info.end_time)
    if ended is not None and (ours is None or (ours.status, ours.finished_at) != (_status(ended), ended.occurred_at)):
        found.append(ended)
    return found


def _status(ended: Timed) -> str:
    status: str = cast(Any, ended.fact).status
    return status


def _values(ours: Entity | None, target: EntityRef, groups: Mapping[str, Any], begin: Timed) -> Iterator[Timed]:
    """The values of groups that are not there yet."""
    have = {} if ours is None else ours.metadata
    lacking: dict[str, Any] = {}
    for name, group in groups.items():
        held = have.get(name)
        there: Mapping[str, Any] = cast("Mapping[str, Any]", held) if isinstance(held, dict) else {}
        new = {key: value for key, value in group.items() if key not in there or not _same(there[key], value)}
        if new:
            lacking[name] = new
    if lacking:
        yield Timed(mapping.logged(target, lacking), begin.occurred_at)


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and (one == other or repr(one) == repr(other))


def _note(ours: Entity | None, target: EntityRef, text: str | None, begin: Timed) -> Iterator[Timed]:
    if text and text.strip() and (ours is None or text not in {note.value for note in ours.notes}):
        yield Timed(NoteAdded((target,), text), begin.occurred_at)


def _missing_points(ours: Entity | None, key: str, points: list[Metric]) -> Iterator[Measurement]:
    """Points that Runlore's history lacks; a point that MLflow has twice counts twice."""
    have = _points(ours, key)
    for point in points:
        same = (point.step, point.timestamp, repr(float(point.value)))
        if have[same] > 0:
            have[same] -= 1
        else:
            yield Measurement(key, point.value, point.timestamp, point.step)


def _points(ours: Entity | None, key: str) -> Counter[Point]:
    if ours is None:
        return Counter()
    try:
        history = ours.history(("metrics", key))
    except NotFoundError:
        return Counter()
    return Counter(
        (entry.at_step, mapping.milliseconds(entry.occurred_at), repr(entry.value))
        for entry in history
        if not entry.ended
    )


def missing_of_version(
    client: Client, version: RegisteredVersion, aliases: list[str], stage: Timed | None, source: str
) -> list[tuple[Timed, str | None]]:
    """Facts that make Runlore's model version equal to MLflow's, each with the run that it belongs to."""
    if IS_PROMPT in (version.tags or {}):
        return []
    target = model_ref(version.name, version.version)
    ours = cast("ModelVersion | None", known(client, target))
    begin = Timed(ModelVersionCreated(target), mapping.moment(version.creation_timestamp))
    run_id = version.run_id or None
    found: list[tuple[Timed, str | None]] = [] if ours is not None else [(begin, run_id)]
    groups = mapping.version_groups(version, source)
    groups["mlflow"]["aliases"] = aliases
    found += [(timed, run_id) for timed in _values(ours, target, groups, begin)]
    found += [(timed, None) for timed in _note(ours, target, version.description, begin)]
    if stage is not None and (ours is None or ours.stage != cast(Any, stage.fact).stage):
        found.append((stage, None))
    return found


def stages_of(versions: list[RegisteredVersion], aliases: Mapping[str, list[str]]) -> dict[str, Timed]:
    """The stage of each version by its number: its last alias, else its stage, which only one version can have here."""
    found: dict[str, Timed] = {}
    taken: set[str] = set()
    for version in sorted(versions, key=lambda one: int(one.version), reverse=True):
        number = str(version.version)  # an int in some stores
        own = aliases.get(number, [])
        stage = own[-1] if own else (version.current_stage or "None").lower()
        if stage == "none" or (stage in taken and stage != "archived"):
            continue
        taken.add(stage)
        fact = mapping.staged(version.name, number, stage, ALIAS if own else STAGE)
        found[number] = Timed(fact, mapping.moment(version.last_updated_timestamp))
    return found
