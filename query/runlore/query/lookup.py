"""From a reference to its entity: by version, stage, or the many names of a run."""

from __future__ import annotations

from typing import Any

from runlore.query import entity_rows
from runlore.query.entities import PipelineRun
from runlore.query.entity import Entity, entity_from_row
from runlore.query.entity_rows import COLUMNS, EntityRow
from runlore.query.near import MAX_KNOWN, meant
from runlore.query.scope import Scope
from runlore.query.time.moment import NOW
from runlore.query.view import value_index
from runlore.query.view.leaves import leaves
from runlore.query.view.value_index import INDEXED
from runlore.schemas.errors import AmbiguousError, NotFoundError
from runlore.schemas.names import check_version, exact_text
from runlore.schemas.references import UNVERSIONED_KINDS, EntityRef, parse_ref
from runlore.store import stretches
from runlore.store.cells import ENDED_SQL


def entity_at(scope: Scope, reference: str | EntityRef) -> Entity:
    """The entity that a reference means at the scope's moment; without a version, the latest. Raises NotFoundError."""
    ref = parse_ref(reference)
    if ref.kind in UNVERSIONED_KINDS:
        return _existing(scope, ref.kind, ref.run or "", ref.name, "")
    return version_of(scope, ref.kind, ref.name, ref.version)


def version_named(scope: Scope, kind: str, name: Any, version: Any) -> Entity:
    """`version_of` for what callers give: texts of numpy, Enums, whole numbers. Raises InvalidReferenceError."""
    plain = exact_text(version)
    # Which texts are versions is for the view to say.
    return version_of(
        scope, kind, exact_text(name), plain if plain is None or type(plain) is str else check_version(plain)
    )


def version_of(scope: Scope, kind: str, name: str, version: str | None) -> Entity:
    """A version by its name, a stage, or ``latest`` (also None). Raises NotFoundError."""
    with scope.reader.read():
        if version is not None and version != "latest":
            row = entity_rows.named(scope, kind, "", name, version)
            if row is not None:
                return entity_from_row(scope, row)
        by_occurrence = scope.moment.occurred_us is not None
        group = entity_rows.named(scope.at(NOW) if by_occurrence else scope, kind, "", name, "")
        if group is None:
            like = meant(name, _names(scope, kind))
            raise NotFoundError(f"no {kind} named {name!r} in project {scope.project!r}{like}")
        if version in (None, "latest") and by_occurrence:
            return _highest(scope, kind, name)
        field = "latest" if version in (None, "latest") else f"stage:{version}"
        selected = _fields(scope, group).get(field)
        if selected is None:
            like = meant(str(version), _selectors(scope, group))
            raise NotFoundError(f"{kind} {name!r} has no version or stage {version!r}{like}")
        return _existing(scope, kind, "", name, selected)


def run_of(scope: Scope, name_id_or_prefix: str | None) -> PipelineRun:
    """Return a run by ID, name, pipeline (its last run) or unique prefix of an ID; without one, the last run.

    Raises NotFoundError, or AmbiguousError listing what fits.
    """
    with scope.reader.read():
        wanted = exact_text(name_id_or_prefix)
        row = _last_run(scope) if wanted is None else _run(scope, wanted)
    return PipelineRun(scope, row)


def first_version(scope: Scope, kind: str, name: str) -> int | None:
    """The position at which the log named the first version, whatever the moment; None if it never did."""
    row = scope.reader.one(
        "SELECT min(created_position) FROM entities"
        " WHERE project = ? AND kind = ? AND run = '' AND name = ? AND version != ''",
        (scope.project, kind, name),
    )
    return None if row is None else row[0]


def _existing(scope: Scope, kind: str, run: str, name: str, version: str) -> Entity:
    row = entity_rows.named(scope, kind, run, name, version)
    if row is None:
        of = f" of run {run}" if run else ""
        like = "" if kind == "step" else meant(name, _names(scope, kind))
        raise NotFoundError(f"no {kind} {name!r}{of} in project {scope.project!r}{like}")
    return entity_from_row(scope, row)


def _fields(scope: Scope, row: EntityRow) -> dict[str, Any]:
    return {leaf.parts[0]: leaf.value for leaf in leaves(scope.reader, row[0], "field", scope.moment)}


def _names(scope: Scope, kind: str) -> list[str]:
    """Names of a kind, for what may have been meant."""
    rows = scope.reader.rows(
        "SELECT DISTINCT name FROM entities WHERE project = ? AND kind = ? AND run = '' LIMIT ?",
        (scope.project, kind, MAX_KNOWN),
    )
    return [row[0] for row in rows]


def _selectors(scope: Scope, group: EntityRow) -> list[str]:
    """Stages and versions of a name: what stands behind the @."""
    held = [name.partition(":")[2] for name in _fields(scope, group) if name.startswith("stage:")]
    rows = scope.reader.rows(
        "SELECT version FROM entities WHERE project = ? AND kind = ? AND run = '' AND name = ? AND version != ''"
        " ORDER BY entity_id DESC LIMIT ?",
        (scope.project, group[2], group[4], MAX_KNOWN),
    )
    return [*held, *(row[0] for row in rows)]


def _highest(scope: Scope, kind: str, name: str) -> Entity:
    """The highest version mentioned by then; the field `latest` is kept in the order of the log.

    As in the fold, one that a failed run left empty counts only where there is no other.
    """
    known, values = scope.moment.entity_condition()
    seen, more = scope.moment.row_condition("h")
    left_empty = stretches.newest(
        f"h.type NOT IN {ENDED_SQL}", "entities.entity_id",
        "(SELECT path_id FROM paths WHERE scope = 'field' AND key = 'left_empty_by')", seen, "h",
    )  # fmt: skip
    row = scope.reader.one(
        f"SELECT {COLUMNS} FROM entities WHERE project = ? AND kind = ? AND run = '' AND name = ?"
        f" AND version != '' AND {known} ORDER BY coalesce({left_empty}, 0), version_number DESC, entity_id DESC"
        " LIMIT 1",
        (scope.project, kind, name, *values, *more),
    )
    if row is None:
        raise NotFoundError(f"no {kind} named {name!r} existed by then in project {scope.project!r}")
    return entity_from_row(scope, row)


# -- runs --------------------------------------------------------------------------------------------


def _last_run(scope: Scope) -> EntityRow:
    rows = entity_rows.newest(scope, "run", 1)
    if not rows:
        raise NotFoundError(f"project {scope.project!r} has no runs")
    return rows[0]


def _run(scope: Scope, wanted: str) -> EntityRow:
    row = entity_rows.named(scope, "run", "", wanted, "") or _last_of_pipeline(scope, wanted)
    if row is not None:
        return row
    rows = _runs_named(scope, wanted) or _runs_starting_with(scope, wanted)
    if not rows:
        like = meant(wanted, [*_names(scope, "pipeline"), *_names(scope, "run")])
        raise NotFoundError(f"no run, pipeline or run ID prefix {wanted!r} in project {scope.project!r}{like}")
    if len(rows) > 1:
        raise AmbiguousError(f"{wanted!r} matches several runs: {', '.join(row[4] for row in rows)}")
    return rows[0]


def _last_of_pipeline(scope: Scope, name: str) -> EntityRow | None:
    pipeline = entity_rows.named(scope, "pipeline", "", name, "")
    last = None if pipeline is None else _fields(scope, pipeline).get("last_run")
    return None if last is None else entity_rows.named(scope, "run", "", last, "")


def _runs_named(scope: Scope, name: str) -> list[EntityRow]:
    """Runs that go by a name at the moment: of those that ever had it, the ones whose last name it is."""
    known, values = scope.moment.entity_condition()
    seen, more = scope.moment.row_condition("n")
    path = "(SELECT path_id FROM paths WHERE scope = 'field' AND key = 'name')"
    # The index on values holds short ones; who has a longer name is looked for among the runs.
    source, sought = "entities", tuple[str, ...]()
    if len(name) <= INDEXED:
        rows = value_index.of_history(path, "h.value = ?")
        source = f"(SELECT DISTINCT entity_id FROM ({rows})) d CROSS JOIN entities ON entities.entity_id = d.entity_id"
        sought = (name, name)
    last = stretches.newest("n.value", "entities.entity_id", path, seen, "n")
    return scope.reader.rows(
        f"SELECT {COLUMNS} FROM {source} WHERE project = ? AND kind = 'run' AND {known} AND {last} = ? LIMIT 6",
        (*sought, scope.project, *values, *more, name),
    )


def _runs_starting_with(scope: Scope, prefix: str) -> list[EntityRow]:
    known, values = scope.moment.entity_condition()
    return scope.reader.rows(
        f"SELECT {COLUMNS} FROM entities WHERE project = ? AND kind = 'run' AND run = ''"
        f" AND name >= ? AND substr(name, 1, ?) = ? AND {known} LIMIT 6",
        (scope.project, prefix, len(prefix), prefix, *values),
    )
