"""Resolve references to entities at an event's position: versions, selectors, the step's own."""

from __future__ import annotations

from runlore.projector.fold.event_context import EventContext
from runlore.projector.fold.latest import MAX_DIGITS, latest, version_made
from runlore.projector.fold.rows import ViewRows
from runlore.schemas.references import RESERVED_STAGES, UNVERSIONED_KINDS, EntityRef

SHARED_STAGES = frozenset({"none", "archived"})
"""Stages any number of versions may be in; they select nothing."""


class FoldError(Exception):
    """The event contradicts the log or refers to what the log does not know."""


def resolve(rows: ViewRows, ref: EntityRef, context: EventContext) -> int:
    """The entity ID of a reference, made now if the log has not named it. Raises FoldError."""
    kind, named = ref.kind, ref.version
    if kind == "step":
        return _step(rows, ref, context)
    if kind in UNVERSIONED_KINDS:
        return rows.entity((context.project, kind, "", ref.name, ""), context.position)
    if kind == "model":
        return _model_version(rows, ref, context)
    if named is None or named == "latest":
        return _unversioned(rows, ref, context)
    return version(rows, kind, ref.name, named, context)


def resolve_all(rows: ViewRows, refs: tuple[EntityRef, ...], context: EventContext) -> list[int]:
    """The entity IDs of several references, each once, in order."""
    if len(refs) == 1:
        return [resolve(rows, refs[0], context)]
    return list(dict.fromkeys(resolve(rows, ref, context) for ref in refs))


def resolve_known(rows: ViewRows, refs: tuple[EntityRef, ...], context: EventContext) -> list[int]:
    """As `resolve_all`, for what must not make entities. Raises FoldError before anything is changed."""
    for ref in refs:
        if not _is_known(rows, ref, context):
            raise FoldError(f"{ref} is not known at this position of the log: there is nothing to retract")
    return resolve_all(rows, refs, context)


def _is_known(rows: ViewRows, ref: EntityRef, context: EventContext) -> bool:
    """Return whether `resolve` would find an entity instead of making one."""
    project = context.project
    if ref.kind == "step":
        run = ref.run or _last_run(rows, ref, context)
        return rows.find_entity((project, "step", run, ref.name, "")) is not None
    if ref.kind in UNVERSIONED_KINDS:
        return rows.find_entity((project, ref.kind, "", ref.name, "")) is not None
    if ref.version is None and _of_context(rows, ref, context) is not None:
        return True
    if ref.version is None and context.step is not None and ref.kind != "model":
        return False  # a step that neither made nor read one would make a new one
    if ref.version in (None, "latest"):
        return latest(rows, ref.kind, ref.name, context) is not None
    named = ref.kind != "model" or ref.version not in RESERVED_STAGES
    if named and rows.find_entity((project, ref.kind, "", ref.name, ref.version or "")) is not None:
        return True
    group = rows.find_entity((project, ref.kind, "", ref.name, ""))
    return ref.kind == "model" and group is not None and rows.field(group, f"stage:{ref.version}") is not None


def _of_context(rows: ViewRows, ref: EntityRef, context: EventContext) -> int | None:
    """Return the version that a name without one means in the event's context: the step's own, or the run's model."""
    if ref.kind == "model":
        source, relations, since = context.run, ("made", "used"), 0
    else:
        source, relations, since = context.step, ("produced", "consumed"), context.step_since
    if source is None:
        return None
    linked = (rows.linked(source, relation, ref.kind, ref.name, since) for relation in relations)
    return next((found for found in linked if found is not None), None)


def _step(rows: ViewRows, ref: EntityRef, context: EventContext) -> int:
    run = ref.run or _last_run(rows, ref, context)
    run_id = rows.find_entity((context.project, "run", "", run, ""))
    if run_id is None:
        run_id = rows.entity((context.project, "run", "", run, ""), context.position)
        if ref.pipeline:
            name_pipeline(rows, run_id, run, ref.pipeline, context, last=False)
    return rows.entity((context.project, "step", run, ref.name, ""), context.position)


def name_pipeline(rows: ViewRows, run_id: int, run: str, pipeline: str, context: EventContext, last: bool) -> None:
    """Record a run's pipeline; `last` makes it the pipeline's last run even if it has one."""
    rows.set_field(run_id, "pipeline", pipeline, context.position)
    pipeline_id = rows.entity((context.project, "pipeline", "", pipeline, ""), context.position)
    if last or rows.field(pipeline_id, "last_run") is None:
        rows.set_field(pipeline_id, "last_run", run, context.position)


def _last_run(rows: ViewRows, ref: EntityRef, context: EventContext) -> str:
    """The run meant by a pipeline's name, a run's ID or its prefix."""
    wanted = ref.pipeline
    if not wanted:
        raise FoldError(f"step {ref.name!r} names neither run nor pipeline")
    pipeline_id = rows.find_entity((context.project, "pipeline", "", wanted, ""))
    last = None if pipeline_id is None else rows.field(pipeline_id, "last_run")
    if last is not None:
        return str(last)
    if rows.find_entity((context.project, "run", "", wanted, "")) is not None:
        return wanted
    runs = rows.runs_starting_with(context.project, wanted)
    if len(runs) != 1:
        why = "is no pipeline, run ID or prefix of one" if not runs else "begins several run IDs"
        raise FoldError(f"step {ref.name!r}: {wanted!r} {why} at this position of the log")
    return runs[0]


def _unversioned(rows: ViewRows, ref: EntityRef, context: EventContext) -> int:
    """Inside a step: the version it made or read, else a new one. Outside, or for `latest`: the latest."""
    if context.step is None or ref.version == "latest":
        return latest(rows, ref.kind, ref.name, context) or version(rows, ref.kind, ref.name, None, context)
    found = _of_context(rows, ref, context)
    return produce(rows, ref, context) if found is None else found


def produce(rows: ViewRows, ref: EntityRef, context: EventContext) -> int:
    """A version made by the step in context: the one it already made under this name, else a new one."""
    if context.step is None:
        return version(rows, ref.kind, ref.name, ref.version, context)
    made = None
    if ref.version is None:
        made = rows.linked(context.step, "produced", ref.kind, ref.name, context.step_since)
    if made is None:
        made = version(rows, ref.kind, ref.name, ref.version, context)
        rows.link(context.step, "produced", made, context.position, context.step_since)
        _, _, run, name, _ = rows.entity_key(context.step)
        rows.set_field(made, "produced_by", str(EntityRef("step", name, run=run)), context.position)
    return made


def version(rows: ViewRows, kind: str, name: str, wanted: str | None, context: EventContext) -> int:
    """A version by its name, made with the next number if it is new; without a name always new.

    A version called by a plain number has that number.
    """
    if wanted is not None:
        found = rows.find_entity((context.project, kind, "", name, wanted))
        if found is not None:
            return found
    highest = rows.highest_number(context.project, kind, name)
    number = highest + 1
    if wanted is not None and wanted.isascii() and wanted.isdecimal() and len(wanted) <= MAX_DIGITS:
        number = int(wanted)
    rows.entity((context.project, kind, "", name, ""), context.position)
    called = str(number) if wanted is None else wanted
    made = rows.entity((context.project, kind, "", name, called), context.position, number)
    if number >= highest:
        rows.set_highest_number(context.project, kind, name, number)
    version_made(rows, kind, name, called, number >= highest, context)
    return made


def _model_version(rows: ViewRows, ref: EntityRef, context: EventContext) -> int:
    if ref.version is None:
        found = _of_context(rows, ref, context)
        if found is not None:
            return found
    elif ref.version != "latest":
        return _selected(rows, ref, ref.version, context)
    return latest(rows, "model", ref.name, context) or version(rows, "model", ref.name, None, context)


def _selected(rows: ViewRows, ref: EntityRef, selector: str, context: EventContext) -> int:
    """A model version by stage or by its own name."""
    found = None
    if selector not in RESERVED_STAGES:
        found = rows.find_entity((context.project, "model", "", ref.name, selector))
    if found is None:
        group = rows.find_entity((context.project, "model", "", ref.name, ""))
        holder = None if group is None else rows.field(group, f"stage:{selector}")
        if holder is not None:
            return version(rows, "model", ref.name, str(holder), context)
        if selector in RESERVED_STAGES:
            raise FoldError(f"no version of model {ref.name!r} is in stage {selector!r} at this position")
    return version(rows, "model", ref.name, selector, context)


def model_of_run(rows: ViewRows, ref: EntityRef, context: EventContext) -> int:
    """The version of the model in a run's context: the one named, else one new version per run."""
    if context.run is None:
        return _model_version(rows, ref, context) if ref.version else version(
            rows, "model", ref.name, None, context
        )  # fmt: skip
    highest = rows.highest_number(context.project, "model", ref.name)
    if ref.version is None:
        made = rows.linked(context.run, "made", "model", ref.name)
        if made is not None:
            return made
        made = version(rows, "model", ref.name, None, context)
    else:
        made = _model_version(rows, ref, context)
    is_new = rows.highest_number(context.project, "model", ref.name) != highest
    rows.link(context.run, "made" if is_new else "used", made, context.position)
    if is_new:
        rows.set_field(made, "run", rows.entity_key(context.run)[3], context.position)
    return made
