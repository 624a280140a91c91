"""The read model: what each fact means for the view, one small function per fact."""

from __future__ import annotations

from msgspec.structs import replace

from runlore.projector.fold import entries
from runlore.projector.fold.latest import counts_again, latest, run_became
from runlore.projector.fold.projection import Projection, Reads, Recorded, on
from runlore.projector.fold.rows import Rows
from runlore.projector.fold.targets import (
    SHARED_STAGES,
    FoldError,
    model_of_run,
    name_pipeline,
    produce,
    resolve,
    resolve_all,
    resolve_known,
    version,
)
from runlore.projector.fold.where import Where
from runlore.schemas.events import (
    ArtifactVersionConsumed,
    ArtifactVersionProduced,
    Event,
    MetadataLogged,
    MetadataRetracted,
    ModelStageChanged,
    ModelVersionCreated,
    NoteAdded,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
)
from runlore.schemas.references import EntityRef
from runlore.store.view_tables import TABLES_SQL

FOLD_VERSION = 4
"""Raise it with every change to what the fold writes: views of another version are made anew."""


class ReadModel(Projection):
    """The projection behind the query library: entities, their histories and heads, links, and who said what."""

    name, version, tables = "view", FOLD_VERSION, TABLES_SQL

    def begin(self, reads: Reads) -> Rows:
        return Rows(reads)

    def apply(self, batch: Rows, at: Recorded) -> None:
        """Fold one event. Raises FoldError when it cannot be."""
        event = at.event
        where = _where(batch, event, at.position)
        self.functions[type(event.fact)](self, batch, event.fact, event, where)
        batch.said.record(at, where.run, where.step)

    @on(MetadataLogged)
    def metadata_logged(self, rows: Rows, fact: MetadataLogged, event: Event, where: Where) -> None:
        targets = resolve_all(rows, fact.targets, where)
        _link_processes(rows, targets, where)
        for entity_id in targets:
            if fact.metadata and rows.entity_key(entity_id)[1] == "model":
                counts_again(rows, entity_id, where)
        if fact.merge:
            for entity_id in targets:
                entries.merge(rows, entity_id, fact.metadata, where.position)
            return
        flat = entries.flatten(rows, fact.metadata)
        for entity_id in targets:
            entries.log(rows, entity_id, flat, where.position)

    @on(MetadataRetracted)
    def metadata_retracted(self, rows: Rows, fact: MetadataRetracted, event: Event, where: Where) -> None:
        for entity_id in resolve_known(rows, fact.targets, where):
            entries.retract(rows, entity_id, fact.paths, fact.reason, where.position)

    @on(RunStarted)
    def run_started(self, rows: Rows, fact: RunStarted, event: Event, where: Where) -> None:
        run_id = _needed(where.run, "run")
        name_pipeline(rows, run_id, rows.entity_key(run_id)[3], fact.pipeline, where, last=True)
        rows.set_field(run_id, "name", fact.name, where.position)
        run_became(rows, run_id, "running", where)
        _started(rows, run_id, fact, event, where)

    @on(StepStarted)
    def step_started(self, rows: Rows, fact: StepStarted, event: Event, where: Where) -> None:
        step_id = _needed(where.step, "step")
        # A new attempt makes new versions instead of adding to those of the last one.
        rows.start_step(step_id, where.position)
        _started(rows, step_id, fact, event, replace(where, step_since=where.position))

    @on(RunFinished)
    def run_finished(self, rows: Rows, fact: RunFinished, event: Event, where: Where) -> None:
        run_id = _needed(where.run, "run")
        run_became(rows, run_id, fact.status, where)
        _finished(rows, run_id, fact, event, where)

    @on(StepFinished)
    def step_finished(self, rows: Rows, fact: StepFinished, event: Event, where: Where) -> None:
        _finished(rows, _needed(where.step, "step"), fact, event, where)

    @on(ArtifactVersionProduced)
    def artifact_produced(self, rows: Rows, fact: ArtifactVersionProduced, event: Event, where: Where) -> None:
        made = produce(rows, fact.artifact, where)
        if fact.data_type is not None:
            rows.set_field(made, "data_type", fact.data_type, where.position)
        if fact.is_model_artifact:
            rows.set_field(made, "is_model_artifact", True, where.position)

    @on(ArtifactVersionConsumed)
    def artifact_consumed(self, rows: Rows, fact: ArtifactVersionConsumed, event: Event, where: Where) -> None:
        ref = fact.artifact
        read: int | None = None
        if ref.version is None and fact.produced_by is not None:
            maker = resolve(rows, fact.produced_by, where)
            read = rows.linked(maker, "produced", ref.kind, ref.name)
        if read is None and ref.version in (None, "latest"):
            read = latest(rows, ref.kind, ref.name, where)
        if read is None:
            wanted = None if ref.version == "latest" else ref.version
            read = version(rows, ref.kind, ref.name, wanted, where)
        if where.step is not None:
            rows.link(where.step, "consumed", read, where.position, where.step_since)

    @on(ModelVersionCreated)
    def model_version_created(self, rows: Rows, fact: ModelVersionCreated, event: Event, where: Where) -> None:
        model_of_run(rows, fact.model, where)

    @on(ModelStageChanged)
    def model_stage_changed(self, rows: Rows, fact: ModelStageChanged, event: Event, where: Where) -> None:
        model_id = resolve(rows, fact.model, where)
        project, _, _, name, own_version = rows.entity_key(model_id)
        group = rows.entity((project, "model", "", name, ""), where.position)
        left = rows.field(model_id, "stage")
        if left is not None and left != fact.stage and left not in SHARED_STAGES:
            rows.set_field(group, f"stage:{left}", None, where.position)
        if fact.stage not in SHARED_STAGES:
            holder = rows.field(group, f"stage:{fact.stage}")
            if holder is not None and holder != own_version:
                held = version(rows, "model", name, str(holder), where)
                _set_stage(rows, held, "archived", None, where)
            rows.set_field(group, f"stage:{fact.stage}", own_version, where.position)
        _set_stage(rows, model_id, fact.stage, fact.reason, where)

    @on(NoteAdded)
    def note_added(self, rows: Rows, fact: NoteAdded, event: Event, where: Where) -> None:
        targets = resolve_all(rows, fact.targets, where)
        _link_processes(rows, targets, where)
        for entity_id in targets:
            rows.set_field(entity_id, "note", fact.text, where.position)


def _where(rows: Rows, event: Event, position: int) -> Where:
    """Where an event stands; run and step of its envelope are named by it, if nothing did before."""
    if event.run is None:
        return Where(event.project, position, None, None, 0)
    run_id = rows.entity((event.project, "run", "", event.run, ""), position)
    if event.step is None:
        return Where(event.project, position, run_id, None, 0)
    step_id = rows.entity((event.project, "step", event.run, event.step, ""), position)
    return Where(event.project, position, run_id, step_id, rows.step_since(step_id))


def _link_processes(rows: Rows, targets: list[int], where: Where) -> None:
    """Record the run of a process: code that lost its run or step logs on its process."""
    if where.run is None:
        return
    for entity_id in targets:
        if rows.entity_key(entity_id)[1] == "process":
            run = rows.entity_key(where.run)[3]
            if rows.field(entity_id, "run") != run:
                rows.set_field(entity_id, "run", run, where.position)


def _set_stage(rows: Rows, model_id: int, stage: str, reason: str | None, where: Where) -> None:
    """A stage, and why it is so: the reason of the stage before must not stand beside it."""
    rows.set_field(model_id, "stage", stage, where.position)
    rows.set_field(model_id, "stage_reason", reason, where.position)


def _started(rows: Rows, entity_id: int, fact: RunStarted | StepStarted, event: Event, where: Where) -> None:
    _count_attempt(rows, entity_id, fact.retry_of, where)
    rows.set_field(entity_id, "status", "running", where.position)
    rows.set_field(entity_id, "started_at", event.occurred_at, where.position)
    for ended in ("finished_at", "error_type", "error_message"):
        rows.set_field(entity_id, ended, None, where.position)
    if fact.parameters:
        rows.set_field(entity_id, "parameters", fact.parameters, where.position)
    if fact.model is not None:
        model_of_run(rows, fact.model, where)


def _count_attempt(rows: Rows, entity_id: int, retry_of: EntityRef | None, where: Where) -> None:
    """Number the attempts of a run or step: it is started again, or another was tried before it."""
    before = entity_id if retry_of is None else resolve(rows, retry_of, where)
    if retry_of is not None:
        rows.set_field(entity_id, "retry_of", str(retry_of), where.position)
    if retry_of is not None or rows.field(before, "status") is not None:
        rows.set_field(entity_id, "attempt", (rows.field(before, "attempt") or 1) + 1, where.position)


def _finished(rows: Rows, entity_id: int, fact: RunFinished | StepFinished, event: Event, where: Where) -> None:
    rows.set_field(entity_id, "status", fact.status, where.position)
    rows.set_field(entity_id, "finished_at", event.occurred_at, where.position)
    rows.set_field(entity_id, "error_type", fact.error_type, where.position)
    rows.set_field(entity_id, "error_message", fact.error_message, where.position)


def _needed(entity_id: int | None, what: str) -> int:
    if entity_id is None:
        raise FoldError(f"the event is about a {what}, but its envelope names none")
    return entity_id
