"""The latest version of a name: the highest one, except those that a failed run left empty."""

from __future__ import annotations

from runlore.projector.fold.event_context import EventContext
from runlore.projector.fold.rows import ViewRows

MAX_DIGITS = 15
"""A version called by a plain number of at most these has that number."""
UNSUCCESSFUL = ("failed", "killed")
LEFT_EMPTY_BY = "left_empty_by"
"""The field of a model version that its failed run left without metadata: the run's ID. Such a version keeps its number
and is the latest only where the name has no other."""


def latest(rows: ViewRows, kind: str, name: str, context: EventContext) -> int | None:
    """The latest version, if the name has any."""
    group = rows.find_entity((context.project, kind, "", name, ""))
    newest = None if group is None else rows.field(group, "latest")
    return None if newest is None else rows.find_entity((context.project, kind, "", name, newest))


def version_made(rows: ViewRows, kind: str, name: str, called: str, highest: bool, context: EventContext) -> None:
    """Make a new version the latest if its number is the highest of all that were not left empty."""
    group = rows.entity((context.project, kind, "", name, ""), context.position)
    if highest:
        rows.set_field(group, "latest", called, context.position)
    elif (before := latest(rows, kind, name, context)) is not None and (
        rows.field(before, LEFT_EMPTY_BY) is not None or not _is_below(called, rows.entity_key(before)[4])
    ):
        _choose(rows, before, context)


def run_became(rows: ViewRows, run_id: int, status: str, context: EventContext) -> None:
    """Mark the model versions without metadata of a run that fails; unmark those of a run that continues.

    Call it before the run has its new status.
    """
    if status in UNSUCCESSFUL:
        for model_id in rows.made_by(run_id):
            if not rows.leaves(model_id) and rows.field(model_id, LEFT_EMPTY_BY) is None:
                rows.set_field(model_id, LEFT_EMPTY_BY, rows.entity_key(run_id)[3], context.position)
                _choose(rows, model_id, context)
    elif rows.field(run_id, "status") in UNSUCCESSFUL:
        for model_id in rows.made_by(run_id):
            counts_again(rows, model_id, context)


def counts_again(rows: ViewRows, model_id: int, context: EventContext) -> None:
    """Let a model version be the latest again: something was logged on it, or its run continues."""
    if rows.field(model_id, LEFT_EMPTY_BY) is not None:
        rows.set_field(model_id, LEFT_EMPTY_BY, None, context.position)
        _choose(rows, model_id, context)


def _is_below(called: str, latest_one: str) -> bool:
    """Return True for a version whose name says that its number is lower. What is not sure is looked up."""
    plain = all(one.isascii() and one.isdecimal() and len(one) <= MAX_DIGITS for one in (called, latest_one))
    return plain and int(called) < int(latest_one)


def _choose(rows: ViewRows, model_id: int, context: EventContext) -> None:
    project, kind, _, name, _ = rows.entity_key(model_id)
    versions = rows.versions(project, kind, name)
    counting = (version for entity_id, version in versions if rows.field(entity_id, LEFT_EMPTY_BY) is None)
    chosen = next(counting, versions[0][1])
    group = rows.entity((project, kind, "", name, ""), context.position)
    if rows.field(group, "latest") != chosen:
        rows.set_field(group, "latest", chosen, context.position)
