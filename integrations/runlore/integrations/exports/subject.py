"""What the log knows about a model version, or any other version: gathered once, at one event, for every document."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable
from typing import Any, NamedTuple, cast

from runlore.query import (
    ArtifactVersion,
    Client,
    Entity,
    Entry,
    Lineage,
    LoggedEvent,
    PipelineRun,
    SignedCheckpoint,
    plain,
)
from runlore.schemas import ArgumentError, NotFoundError, RunloreError, parse_path

MOST_PROVED = 100
"""Events that one statement proves: those that made the entity, then the latest."""
_METRIC_GROUPS = ("metric", "score", "evaluation")


class Subject(NamedTuple):
    """An entity, and where it comes from."""

    entity: Entity
    position: int
    recorded_at: dt.datetime
    leaves: list[Entry]
    """Of its metadata, each with who logged it and when."""
    run: PipelineRun | None
    """The run that made it."""
    lineage: Lineage[Entity]
    checkpoint: SignedCheckpoint | None
    unproved: str | None
    """The reason why there is no checkpoint."""

    def text(self, *paths: str) -> str | None:
        """Return the first of these paths that holds a text."""
        values = {leaf.path: leaf.value for leaf in self.leaves}
        found = (values.get(path) for path in paths)
        return next((str(value) for value in found if isinstance(value, str) and value), None)

    def metrics(self) -> list[Entry]:
        """Return numbers in groups of metrics and scores, and floats outside of groups: what measures the model."""
        return [leaf for leaf in self.leaves if _is_metric(leaf)]

    def others(self) -> list[Entry]:
        """Return what is no metric."""
        return [leaf for leaf in self.leaves if not _is_metric(leaf)]

    def sources(self) -> list[Entity]:
        """Return the data and the models that it was made from, the nearest first."""
        return [node for node in self.lineage.nodes[1:] if node.version is not None]

    def parameters(self) -> dict[str, Any]:
        """Return the parameters of its run."""
        return {} if self.run is None else self.run.parameters

    def environment(self) -> dict[str, Any]:
        """Return what its run was started in."""
        return {} if self.run is None else self.run.environment

    def packages(self) -> dict[str, str]:
        """Return the packages that were installed, by name."""
        found = _dict(self.environment().get("packages"))
        return {name: str(version) for name, version in found.items() if name and version}

    def git(self) -> dict[str, Any]:
        """Return commit, origin and more of the code; empty where that was not recorded."""
        return _dict(self.environment().get("git"))


def subject_of(client: Client, reference: str) -> Subject:
    """Return what is known of a version. Raises NotFoundError, ArgumentError for a run or a step."""
    at = Client.over(client.scope.at(client.scope.moment_of(client.position)))  # every read is of one moment
    entity = at.get(reference)
    if entity.version is None:
        raise ArgumentError(f"{entity.reference} is no version of a model or artifact, such as model:churn@3")
    checkpoint, unproved = _checkpoint(client)
    return Subject(
        entity, at.position, at.recorded_at, list(entity.blame()), _run_of(at, entity), entity.upstream(), checkpoint,
        unproved,
    )  # fmt: skip


def _checkpoint(client: Client) -> tuple[SignedCheckpoint | None, str | None]:
    try:
        found = client.audit_state().checkpoint
    except RunloreError as error:
        return None, str(error)
    return found, None if found else "the log has no signed checkpoint yet"


def _run_of(client: Client, entity: Entity) -> PipelineRun | None:
    run = getattr(entity, "run", None)
    if run is None and isinstance(entity, ArtifactVersion) and entity.producer is not None:
        run = entity.producer.run
    try:
        return None if run is None else client.get_pipeline_run(run)
    except NotFoundError:
        return None


def proofs_of(client: Client, subject: Subject) -> list[LoggedEvent]:
    """Return the events that made the entity what it is, as they were archived; none where there is no log."""
    if subject.checkpoint is None:
        return []
    latest = sorted({leaf.position for leaf in subject.leaves}, reverse=True)
    first = subject.entity.created_position
    wanted = [first, *(position for position in latest if position != first)][:MOST_PROVED]
    return [client.logged_event(position) for position in sorted(wanted)]


def _dict(value: Any) -> dict[str, Any]:
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _is_metric(leaf: Entry) -> bool:
    value = leaf.value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return False
    parts = parse_path(leaf.path)
    return any(word in parts[0].lower() for word in _METRIC_GROUPS) if len(parts) > 1 else isinstance(value, float)


def text_of(value: Any) -> str:
    """Return a value as text: JSON where it is no text itself."""
    found = plain(value)
    return found if isinstance(found, str) else json.dumps(found, ensure_ascii=False)


def sha256_of(leaves: Iterable[Entry]) -> dict[str, str]:
    """Return the SHA-256 sums that were logged: of ``sha256``, or paths that end so, in lower case by path."""
    return {
        leaf.path: leaf.value.lower()
        for leaf in leaves
        if parse_path(leaf.path)[-1].lower() == "sha256" and isinstance(leaf.value, str) and _is_sum(leaf.value)
    }


def _is_sum(text: str) -> bool:
    return len(text) == 64 and set(text.lower()) <= set("0123456789abcdef")
