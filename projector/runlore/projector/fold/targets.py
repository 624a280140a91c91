"""Which entity a reference means, given where in the log it stands: versions, selectors, the step's own."""

from __future__ import annotations

from runlore.projector.fold.latest import latest, version_made
from runlore.projector.fold.rows import Rows
from runlore.projector.fold.where import Where
from runlore.schemas.references import RESERVED_STAGES, UNVERSIONED_KINDS, EntityRef

SHARED_STAGES = frozenset({"none", "archived"})
"""Stages any number of versions may be in; they select nothing."""


class FoldError(Exception):
    """The event contradicts the log or refers to what the log does not know."""


def resolve(rows: Rows, ref: EntityRef, where: Where) -> int:
    """The entity ID of a reference, made now if the log has not named it. Raises FoldError."""
    if ref.kind == "step":
        return _step(rows, ref, where)
    if ref.kind in UNVERSIONED_KINDS:
        return rows.entity((where.project, ref.kind, "", ref.name, ""), where.position)
    if ref.kind == "model":
        return _model_version(rows, ref, where)
    if ref.version in (None, "latest"):
        return _unversioned(rows, ref, where)
    return version(rows, ref.kind, ref.name, ref.version, where)


def resolve_all(rows: Rows, refs: tuple[EntityRef, ...], where: Where) -> list[int]:
    """The entity IDs of several references, each once, in order."""
    if len(refs) == 1:
        return [resolve(rows, refs[0], where)]
    return list(dict.fromkeys(resolve(rows, ref, where) for ref in refs))


def resolve_known(rows: Rows, refs: tuple[EntityRef, ...], where: Where) -> list[int]:
    """As `resolve_all`, for what must not make entities. Raises FoldError before anything is changed."""
    for ref in refs:
        if not _is_known(rows, ref, where):
            raise FoldError(f"{ref} is not known at this position of the log: there is nothing to retract")
    return resolve_all(rows, refs, where)


def _is_known(rows: Rows, ref: EntityRef, where: Where) -> bool:
    """Whether `resolve` would find an entity instead of making one."""
    project = where.project
    if ref.kind == "step":
        run = ref.run or _last_run(rows, ref, where)
        return rows.find_entity((project, "step", run, ref.name, "")) is not None
    if ref.kind in UNVERSIONED_KINDS:
        return rows.find_entity((project, ref.kind, "", ref.name, "")) is not None
    if ref.version is None and _of_context(rows, ref, where) is not None:
        return True
    if ref.version is None and where.step is not None and ref.kind != "model":
        return False  # a step that neither made nor read one would make a new one
    if ref.version in (None, "latest"):
        return latest(rows, ref.kind, ref.name, where) is not None
    named = ref.kind != "model" or ref.version not in RESERVED_STAGES
    if named and rows.find_entity((project, ref.kind, "", ref.name, ref.version or "")) is not None:
        return True
    group = rows.find_entity((project, ref.kind, "", ref.name, ""))
    return ref.kind == "model" and group is not None and rows.field(group, f"stage:{ref.version}") is not None


def _of_context(rows: Rows, ref: EntityRef, where: Where) -> int | None:
    """The version that a name without one means where the event stands: the step's own, or the run's model."""
    if ref.kind == "model":
        source, relations, since = where.run, ("made", "used"), 0
    else:
        source, relations, since = where.step, ("produced", "consumed"), where.step_since
    if source is None:
        return None
    linked = (rows.linked(source, relation, ref.kind, ref.name, since) for relation in relations)
    return next((found for found in linked if found is not None), None)


def _step(rows: Rows, ref: EntityRef, where: Where) -> int:
    run = ref.run or _last_run(rows, ref, where)
    run_id = rows.find_entity((where.project, "run", "", run, ""))
    if run_id is None:
        run_id = rows.entity((where.project, "run", "", run, ""), where.position)
        if ref.pipeline:
            name_pipeline(rows, run_id, run, ref.pipeline, where, last=False)
    return rows.entity((where.project, "step", run, ref.name, ""), where.position)


def name_pipeline(rows: Rows, run_id: int, run: str, pipeline: str, where: Where, last: bool) -> None:
    """Record a run's pipeline; `last` makes it the pipeline's last run even if it has one."""
    rows.set_field(run_id, "pipeline", pipeline, where.position)
    pipeline_id = rows.entity((where.project, "pipeline", "", pipeline, ""), where.position)
    if last or rows.field(pipeline_id, "last_run") is None:
        rows.set_field(pipeline_id, "last_run", run, where.position)


def _last_run(rows: Rows, ref: EntityRef, where: Where) -> str:
    """The run meant by a pipeline's name, a run's ID or its prefix."""
    wanted = ref.pipeline
    if not wanted:
        raise FoldError(f"step {ref.name!r} names neither run nor pipeline")
    pipeline_id = rows.find_entity((where.project, "pipeline", "", wanted, ""))
    last = None if pipeline_id is None else rows.field(pipeline_id, "last_run")
    if last is not None:
        return str(last)
    if rows.find_entity((where.project, "run", "", wanted, "")) is not None:
        return wanted
    runs = rows.runs_starting_with(where.project, wanted)
    if len(runs) != 1:
        why = "is no pipeline, run ID or prefix of one" if not runs else "begins several run IDs"
        raise FoldError(f"step {ref.name!r}: {wanted!r} {why} at this position of the log")
    return runs[0]


def _unversioned(rows: Rows, ref: EntityRef, where: Where) -> int:
    """Inside a step: the version it made or read, else a new one. Outside, or for `latest`: the latest."""
    if where.step is None or ref.version == "latest":
        return latest(rows, ref.kind, ref.name, where) or version(rows, ref.kind, ref.name, None, where)
    found = _of_context(rows, ref, where)
    return produce(rows, ref, where) if found is None else found


def produce(rows: Rows, ref: EntityRef, where: Where) -> int:
    """A version made by the step in context: the one it already made under this name, else a new one."""
    if where.step is None:
        return version(rows, ref.kind, ref.name, ref.version, where)
    made = None
    if ref.version is None:
        made = rows.linked(where.step, "produced", ref.kind, ref.name, where.step_since)
    if made is None:
        made = version(rows, ref.kind, ref.name, ref.version, where)
        rows.link(where.step, "produced", made, where.position, where.step_since)
        _, _, run, name, _ = rows.entity_key(where.step)
        rows.set_field(made, "produced_by", str(EntityRef("step", name, run=run)), where.position)
    return made


def version(rows: Rows, kind: str, name: str, wanted: str | None, where: Where) -> int:
    """A version by its name, made with the next number if it is new; without a name always new.

    A version called by a plain number has that number.
    """
    if wanted is not None:
        found = rows.find_entity((where.project, kind, "", name, wanted))
        if found is not None:
            return found
    highest = rows.highest_number(where.project, kind, name)
    number = highest + 1
    if wanted is not None and wanted.isascii() and wanted.isdecimal() and len(wanted) <= 15:
        number = int(wanted)
    rows.entity((where.project, kind, "", name, ""), where.position)
    called = str(number) if wanted is None else wanted
    made = rows.entity((where.project, kind, "", name, called), where.position, number)
    if number >= highest:
        rows.set_highest_number(where.project, kind, name, number)
    version_made(rows, kind, name, called, number >= highest, where)
    return made


def _model_version(rows: Rows, ref: EntityRef, where: Where) -> int:
    if ref.version is None:
        found = _of_context(rows, ref, where)
        if found is not None:
            return found
    elif ref.version != "latest":
        return _selected(rows, ref, ref.version, where)
    return latest(rows, "model", ref.name, where) or version(rows, "model", ref.name, None, where)


def _selected(rows: Rows, ref: EntityRef, selector: str, where: Where) -> int:
    """A model version by stage or by its own name."""
    found = None
    if selector not in RESERVED_STAGES:
        found = rows.find_entity((where.project, "model", "", ref.name, selector))
    if found is None:
        group = rows.find_entity((where.project, "model", "", ref.name, ""))
        holder = None if group is None else rows.field(group, f"stage:{selector}")
        if holder is not None:
            return version(rows, "model", ref.name, str(holder), where)
        if selector in RESERVED_STAGES:
            raise FoldError(f"no version of model {ref.name!r} is in stage {selector!r} at this position")
    return version(rows, "model", ref.name, selector, where)


def model_of_run(rows: Rows, ref: EntityRef, where: Where) -> int:
    """The version of the model in a run's context: the one named, else one new version per run."""
    if where.run is None:
        return _model_version(rows, ref, where) if ref.version else version(
            rows, "model", ref.name, None, where
        )  # fmt: skip
    highest = rows.highest_number(where.project, "model", ref.name)
    if ref.version is None:
        made = rows.linked(where.run, "made", "model", ref.name)
        if made is not None:
            return made
        made = version(rows, "model", ref.name, None, where)
    else:
        made = _model_version(rows, ref, where)
    is_new = rows.highest_number(where.project, "model", ref.name) != highest
    rows.link(where.run, "made" if is_new else "used", made, where.position)
    if is_new:
        rows.set_field(made, "run", rows.entity_key(where.run)[3], where.position)
    return made
