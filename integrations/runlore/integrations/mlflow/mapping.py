"""What becomes what: MLflow's words as facts of the log. Nothing here emits, asks or knows the time."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from runlore.integrations.mlflow.host import KeyValue, Metric, RegisteredVersion, Run, RunInfo
from runlore.schemas import (
    EntityRef,
    Fact,
    MetadataLogged,
    ModelStageChanged,
    RunFinished,
    RunStarted,
    Uri,
)

EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
STATUSES = {"FINISHED": "completed", "FAILED": "failed", "KILLED": "killed"}
"""How a run ended, in both languages."""
SYSTEM = "mlflow."
"""Tags with this prefix are MLflow's own."""
PARENT, RUN_NAME, NOTE = "mlflow.parentRunId", "mlflow.runName", "mlflow.note.content"
_WORDS: dict[str, Any] = {"True": True, "False": False, "None": None}
_MAX_NAME = 200


class Timed(NamedTuple):
    """A fact and when it happened, if not now."""

    fact: Fact
    occurred_at: dt.datetime | None = None


def moment(milliseconds: int | None) -> dt.datetime | None:
    """MLflow's time, exact to the millisecond; None where it gives none, or one beyond the years of a datetime."""
    if milliseconds is None:
        return None
    try:
        return EPOCH + dt.timedelta(milliseconds=milliseconds)
    except OverflowError:
        return None


def milliseconds(when: dt.datetime) -> int:
    """A time as MLflow writes it."""
    return (when - EPOCH) // dt.timedelta(milliseconds=1)


def plain(text: str) -> Any:
    """The number, boolean or None that MLflow turned into this text, if it is exactly its text; else the text."""
    if text in _WORDS:
        return _WORDS[text]
    for kind in (int, float):
        try:
            value = kind(text)
            if str(value) == text:
                return value
        except ValueError:
            continue
    return text


def run_ref(run_id: str) -> EntityRef:
    """The run of Runlore: it has MLflow's ID."""
    return EntityRef("run", run_id)


def name_of(text: str) -> str:
    """A name that Runlore takes: without control characters, and cut where it is too long."""
    clean = "".join(char if char.isprintable() else " " for char in text) or "unnamed"
    return clean.encode(errors="replace")[:_MAX_NAME].decode(errors="ignore")


def started(info: RunInfo, experiment: str, tags: Mapping[str, str]) -> Timed:
    """A run of an experiment began."""
    parent = tags.get(PARENT)
    name = info.run_name or tags.get(RUN_NAME) or info.run_id
    fact = RunStarted(
        name_of(experiment), name, parent=None if not parent else run_ref(parent), group=name_of(experiment)
    )
    return Timed(fact, moment(info.start_time))


def finished(status: str, end_time: int | None) -> Timed | None:
    """A run ended; None while it has not."""
    ended = STATUSES.get(status)
    return None if ended is None else Timed(RunFinished(ended), moment(end_time))  # type: ignore[arg-type]


def described(run: Run, source: str) -> dict[str, Any]:
    """Where MLflow keeps a run."""
    info = run.info
    found: dict[str, Any] = {"experiment_id": info.experiment_id, "store": Uri(source)}
    if info.artifact_uri:
        found["artifact_uri"] = Uri(info.artifact_uri)
    return found


def split_tags(tags: Mapping[str, str]) -> dict[str, Any]:
    """Groups of metadata for tags: the users' own, and MLflow's."""
    own = {key: value for key, value in tags.items() if not key.startswith(SYSTEM)}
    system = {key.removeprefix(SYSTEM): value for key, value in tags.items() if key.startswith(SYSTEM) and key != NOTE}
    return {name: group for name, group in (("tags", own), ("mlflow", system)) if group}


def tag_path(key: str) -> tuple[str, str]:
    """Where the value of a tag is."""
    return ("mlflow", key.removeprefix(SYSTEM)) if key.startswith(SYSTEM) else ("tags", key)


def logged(target: EntityRef, groups: Mapping[str, Any], at_step: int | None = None) -> MetadataLogged:
    """Values that are added to the groups of an entity."""
    return MetadataLogged((target,), dict(groups), merge=True, at_step=at_step)


def parameters(params: Iterable[KeyValue]) -> dict[str, Any]:
    """Parameters as a group of metadata."""
    found = {param.key: plain(param.value) for param in params}
    return {"parameters": found} if found else {}


def measured(run_id: str, metrics: Iterable[Metric]) -> Iterator[Timed]:
    """One fact for all metrics of one time and step; a key that repeats there needs another."""
    together: dict[tuple[int, int], list[dict[str, float]]] = {}
    for metric in metrics:
        groups = together.setdefault((metric.timestamp, metric.step), [{}])
        if metric.key in groups[-1]:
            groups.append({})
        groups[-1][metric.key] = float(metric.value)
    for (timestamp, step), groups in together.items():
        for group in groups:
            yield Timed(logged(run_ref(run_id), {"metrics": group}, step), moment(timestamp))


def model_ref(name: str, version: str | int) -> EntityRef:
    """A version of a registered model."""
    return EntityRef("model", name, str(version))


def version_groups(version: RegisteredVersion, source: str) -> dict[str, Any]:
    """What MLflow knows of a version of a registered model."""
    found: dict[str, Any] = {"store": Uri(source)}
    if version.source:
        found["source"] = Uri(version.source)
    if version.run_id:
        found["run_id"] = version.run_id
    tags = split_tags(dict(version.tags or {}))
    return {**tags, "mlflow": {**tags.get("mlflow", {}), **found}}


def staged(name: str, version: str, stage: str, reason: str) -> ModelStageChanged:
    """A version took a stage or an alias; MLflow writes its stages with a capital."""
    return ModelStageChanged(model_ref(name, version), stage, reason)
