"""The read model: the effect of each fact on the view, one small function per fact."""

from __future__ import annotations

from collections.abc import Iterable

from msgspec.structs import replace

from runlore.projector.fold import entries
from runlore.projector.fold.event_context import EventContext
from runlore.projector.fold.latest import counts_again, latest, run_became
from runlore.projector.fold.projection import Projection, Reads, Recorded, on
from runlore.projector.fold.rows import ViewRows
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
from runlore.schemas.events import (
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
    StepFinished,
    StepStarted,
    TagsChanged,
)
from runlore.schemas.limits import MAX_TAGS
from runlore.schemas.references import EntityRef
from runlore.store.audit.actor_keys import ActorKey
from runlore.store.view_tables import TABLES_SQL

FOLD_VERSION = 9
"""Raise it with every change to what the fold writes: views of another version are rebuilt."""


class ReadModel(Projection):
    """The projection behind the query library: entities, their histories and heads, links, events and authors."""

    name, version, tables = "view", FOLD_VERSION, TABLES_SQL

    def begin(self, reads: Reads) -> ViewRows:
        return ViewRows(reads)

    def actor_key(self, batch: ViewRows, position: int, stated: ActorKey) -> None:
        batch.events.signers.take(position, stated)

    def apply(self, batch: ViewRows, at: Recorded) -> None:
        """Fold one event. Raises FoldError when it cannot be."""
        event = at.event
        context = _context_of(batch, event, at.position)
        self.functions[type(event.fact)](self, batch, event.fact, event, context)
        batch.events.record(at, context.run, context.step)

    @on(MetadataLogged)
    def metadata_logged(self, rows: ViewRows, fact: MetadataLogged, event: Event, context: EventContext) -> None:
        targets = resolve_all(rows, fact.targets, context)
        for entity_id in targets:
            kind = rows.entity_key(entity_id)[1]
            if kind == "process":
                _link_process(rows, entity_id, context)
            elif kind == "model" and fact.metadata:
                counts_again(rows, entity_id, context)
        if fact.merge:
            for entity_id in targets:
                entries.merge(rows, entity_id, fact.metadata, context.position)
            return
        flat = entries.flatten(rows, fact.metadata)
        for entity_id in targets:
            entries.log(rows, entity_id, flat, context.position)

    @on(MetadataRetracted)
    def metadata_retracted(self, rows: ViewRows, fact: MetadataRetracted, event: Event, context: EventContext) -> None:
        for entity_id in resolve_known(rows, fact.targets, context):
            entries.retract(rows, entity_id, fact.paths, fact.reason, context.position)

    @on(RunStarted)
    def run_started(self, rows: ViewRows, fact: RunStarted, event: Event, context: EventContext) -> None:
        run_id = _needed(context.run, "run")
        name_pipeline(rows, run_id, rows.entity_key(run_id)[3], fact.pipeline, context, last=True)
        rows.set_field(run_id, "name", fact.name, context.position)
        run_became(rows, run_id, "running", context)
        _started(rows, run_id, fact, event, context)
        if fact.parent is not None:
            resolve(rows, fact.parent, context)
            rows.set_field(run_id, "parent", str(fact.parent), context.position)
        if fact.group is not None:
            rows.set_field(run_id, "group", fact.group, context.position)
        if fact.tags:
            _tag(rows, run_id, fact.tags, (), context)

    @on(RunDescribed)
    def run_described(self, rows: ViewRows, fact: RunDescribed, event: Event, context: EventContext) -> None:
        rows.set_field(_needed(context.run, "run"), "environment", fact.environment, context.position)

    @on(StepStarted)
    def step_started(self, rows: ViewRows, fact: StepStarted, event: Event, context: EventContext) -> None:
        step_id = _needed(context.step, "step")
        # A new attempt makes new versions instead of adding to those of the last one.
        rows.start_step(step_id, context.position)
        _started(rows, step_id, fact, event, replace(context, step_since=context.position))

    @on(RunFinished)
    def run_finished(self, rows: ViewRows, fact: RunFinished, event: Event, context: EventContext) -> None:
        run_id = _needed(context.run, "run")
        run_became(rows, run_id, fact.status, context)
        _finished(rows, run_id, fact, event, context)

    @on(StepFinished)
    def step_finished(self, rows: ViewRows, fact: StepFinished, event: Event, context: EventContext) -> None:
        _finished(rows, _needed(context.step, "step"), fact, event, context)

    @on(ArtifactVersionProduced)
    def artifact_produced(
        self, rows: ViewRows, fact: ArtifactVersionProduced, event: Event, context: EventContext
    ) -> None:
        made = produce(rows, fact.artifact, context)
        if fact.data_type is not None:
            rows.set_field(made, "data_type", fact.data_type, context.position)
        if fact.is_model_artifact:
            rows.set_field(made, "is_model_artifact", True, context.position)

    @on(ArtifactVersionConsumed)
    def artifact_consumed(
        self, rows: ViewRows, fact: ArtifactVersionConsumed, event: Event, context: EventContext
    ) -> None:
        ref = fact.artifact
        read: int | None = None
        if ref.version is None and fact.produced_by is not None:
            maker = resolve(rows, fact.produced_by, context)
            read = rows.linked(maker, "produced", ref.kind, ref.name)
        if read is None and ref.version in (None, "latest"):
            read = latest(rows, ref.kind, ref.name, context)
        if read is None:
            wanted = None if ref.version == "latest" else ref.version
            read = version(rows, ref.kind, ref.name, wanted, context)
        if context.step is not None:
            rows.link(context.step, "consumed", read, context.position, context.step_since)

    @on(ModelVersionCreated)
    def model_version_created(
        self, rows: ViewRows, fact: ModelVersionCreated, event: Event, context: EventContext
    ) -> None:
        model_of_run(rows, fact.model, context)

    @on(ModelStageChanged)
    def model_stage_changed(self, rows: ViewRows, fact: ModelStageChanged, event: Event, context: EventContext) -> None:
        model_id = resolve(rows, fact.model, context)
        project, _, _, name, own_version = rows.entity_key(model_id)
        group = rows.entity((project, "model", "", name, ""), context.position)
        left = rows.field(model_id, "stage")
        if left is not None and left != fact.stage and left not in SHARED_STAGES:
            rows.set_field(group, f"stage:{left}", None, context.position)
        if fact.stage not in SHARED_STAGES:
            holder = rows.field(group, f"stage:{fact.stage}")
            if holder is not None and holder != own_version:
                held = version(rows, "model", name, str(holder), context)
                _set_stage(rows, held, "archived", None, context)
            rows.set_field(group, f"stage:{fact.stage}", own_version, context.position)
        _set_stage(rows, model_id, fact.stage, fact.reason, context)

    @on(NoteAdded)
    def note_added(self, rows: ViewRows, fact: NoteAdded, event: Event, context: EventContext) -> None:
        for entity_id in resolve_all(rows, fact.targets, context):
            if rows.entity_key(entity_id)[1] == "process":
                _link_process(rows, entity_id, context)
            rows.set_field(entity_id, "note", fact.text, context.position)

    @on(TagsChanged)
    def tags_changed(self, rows: ViewRows, fact: TagsChanged, event: Event, context: EventContext) -> None:
        for entity_id in resolve_all(rows, fact.targets, context):
            if rows.entity_key(entity_id)[1] == "process":
                _link_process(rows, entity_id, context)
            _tag(rows, entity_id, fact.added, fact.removed, context)


def _context_of(rows: ViewRows, event: Event, position: int) -> EventContext:
    """Return the context of an event; creates the run and step of its envelope if nothing named them before."""
    if event.run is None:
        return EventContext(event.project, position, None, None, 0)
    run_id = rows.entity((event.project, "run", "", event.run, ""), position)
    if event.step is None:
        return EventContext(event.project, position, run_id, None, 0)
    step_id = rows.entity((event.project, "step", event.run, event.step, ""), position)
    return EventContext(event.project, position, run_id, step_id, rows.step_since(step_id))


def _link_process(rows: ViewRows, process_id: int, context: EventContext) -> None:
    """Record the run of a process: code that lost its run or step logs on its process."""
    if context.run is None:
        return
    run = rows.entity_key(context.run)[3]
    if rows.field(process_id, "run") != run:
        rows.set_field(process_id, "run", run, context.position)


def _set_stage(rows: ViewRows, model_id: int, stage: str, reason: str | None, context: EventContext) -> None:
    """Set a stage and its reason: the previous stage's reason must not remain beside it."""
    rows.set_field(model_id, "stage", stage, context.position)
    rows.set_field(model_id, "stage_reason", reason, context.position)


def _tag(rows: ViewRows, entity_id: int, added: Iterable[str], removed: Iterable[str], context: EventContext) -> None:
    """Set the tags of an entity, sorted. Raises FoldError where they would be too many."""
    tags = sorted({*(rows.field(entity_id, "tags") or ()), *added} - {*removed})
    if len(tags) > MAX_TAGS:
        raise FoldError(f"{len(tags):,} tags; an entity has at most {MAX_TAGS:,}")
    rows.set_field(entity_id, "tags", tags or None, context.position)


def _started(
    rows: ViewRows, entity_id: int, fact: RunStarted | StepStarted, event: Event, context: EventContext
) -> None:
    _count_attempt(rows, entity_id, fact.retry_of, context)
    rows.set_field(entity_id, "status", "running", context.position)
    rows.set_field(entity_id, "started_at", event.occurred_at, context.position)
    for ended in ("finished_at", "error_type", "error_message"):
        rows.set_field(entity_id, ended, None, context.position)
    if fact.parameters:
        rows.set_field(entity_id, "parameters", fact.parameters, context.position)
    if fact.model is not None:
        model_of_run(rows, fact.model, context)


def _count_attempt(rows: ViewRows, entity_id: int, retry_of: EntityRef | None, context: EventContext) -> None:
    """Number the attempts of a run or step: it is started again, or another was tried before it."""
    before = entity_id if retry_of is None else resolve(rows, retry_of, context)
    if retry_of is not None:
        rows.set_field(entity_id, "retry_of", str(retry_of), context.position)
    if retry_of is not None or rows.field(before, "status") is not None:
        rows.set_field(entity_id, "attempt", (rows.field(before, "attempt") or 1) + 1, context.position)


def _finished(
    rows: ViewRows, entity_id: int, fact: RunFinished | StepFinished, event: Event, context: EventContext
) -> None:
    rows.set_field(entity_id, "status", fact.status, context.position)
    rows.set_field(entity_id, "finished_at", event.occurred_at, context.position)
    rows.set_field(entity_id, "error_type", fact.error_type, context.position)
    rows.set_field(entity_id, "error_message", fact.error_message, context.position)


def _needed(entity_id: int | None, what: str) -> int:
    if entity_id is None:
        raise FoldError(f"the event is about a {what}, but its envelope names none")
    return entity_id
