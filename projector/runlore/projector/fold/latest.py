"""Which version of a name is its latest: the highest one, but none that a failed run left behind empty."""

from __future__ import annotations

from runlore.projector.fold.rows import Rows
from runlore.projector.fold.where import Where

LEFT_EMPTY_BY = "left_empty_by"
"""The field of a model version that its failed run left without metadata: the run's ID. Such a version keeps its number
and is the latest only where the name has no other."""


def latest(rows: Rows, kind: str, name: str, where: Where) -> int | None:
    """The latest version, if the name has any."""
    group = rows.find_entity((where.project, kind, "", name, ""))
    newest = None if group is None else rows.field(group, "latest")
    return None if newest is None else rows.find_entity((where.project, kind, "", name, newest))


def version_made(rows: Rows, kind: str, name: str, called: str, highest: bool, where: Where) -> None:
    """A version is new: it is the latest if its number is the highest, or if the latest is one that was left empty."""
    group = rows.entity((where.project, kind, "", name, ""), where.position)
    if highest:
        rows.set_field(group, "latest", called, where.position)
    elif (before := latest(rows, kind, name, where)) is not None and rows.field(before, LEFT_EMPTY_BY) is not None:
        _choose(rows, before, where)


def run_became(rows: Rows, run_id: int, status: str, where: Where) -> None:
    """A run that fails leaves its model versions without metadata behind; one that goes on takes them up again.

    Call it before the run has its new status.
    """
    if status == "failed":
        for model_id in rows.made_by(run_id):
            if not rows.leaves(model_id) and rows.field(model_id, LEFT_EMPTY_BY) is None:
                rows.set_field(model_id, LEFT_EMPTY_BY, rows.entity_key(run_id)[3], where.position)
                _choose(rows, model_id, where)
    elif rows.field(run_id, "status") == "failed":
        for model_id in rows.made_by(run_id):
            counts_again(rows, model_id, where)


def counts_again(rows: Rows, model_id: int, where: Where) -> None:
    """Something was logged on a model version, or its run goes on: it may be the latest again."""
    if rows.field(model_id, LEFT_EMPTY_BY) is not None:
        rows.set_field(model_id, LEFT_EMPTY_BY, None, where.position)
        _choose(rows, model_id, where)


def _choose(rows: Rows, model_id: int, where: Where) -> None:
    project, kind, _, name, _ = rows.entity_key(model_id)
    versions = rows.versions(project, kind, name)
    counting = (version for entity_id, version in versions if rows.field(entity_id, LEFT_EMPTY_BY) is None)
    chosen = next(counting, versions[0][1])
    group = rows.entity((project, kind, "", name, ""), where.position)
    if rows.field(group, "latest") != chosen:
        rows.set_field(group, "latest", chosen, where.position)
