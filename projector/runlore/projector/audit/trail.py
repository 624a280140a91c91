"""The trail of an entity: the positions of all events about it, in effect and refused, and its successors."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from runlore.schemas.acceptance import Rejection
from runlore.schemas.errors import NotFoundError
from runlore.schemas.references import EntityRef
from runlore.schemas.signatures import Signer
from runlore.schemas.subjects import subject_for
from runlore.store import stretches
from runlore.store.sqlite import open_reader, sqlite

_ENTITIES = """SELECT entity_id, reference FROM entities WHERE project = ? AND kind = ? AND run = ? AND name = ?
    AND (version = ? OR ? IS NULL) ORDER BY entity_id"""
_ABOUT = f"""
    SELECT created_position FROM entities WHERE entity_id = :id
    UNION SELECT m.position FROM {stretches.of_entity(":id")}
    UNION SELECT position FROM links WHERE source_id = :id
"""
_REFUSED = "SELECT stage, error FROM quarantine WHERE position = ?"
_SIGNERS = """SELECT position, public_key, standing, nullif(actor, '') FROM signatures JOIN signers USING (signer_id)
    WHERE position IN (SELECT value FROM json_each(?))"""
_SUBJECTS = "SELECT position, subject FROM quarantine ORDER BY position"
_CONFLICTS = """SELECT q.position FROM quarantine q JOIN events e ON e.event_id = q.event_id
    WHERE q.stage = 'conflict' AND e.position IN (SELECT value FROM json_each(?))"""
_STAGES = f"""SELECT p.key, h.type, h.value
    FROM stretches s CROSS JOIN history h ON h.stretch = s.stretch AND h.entity_id = ? JOIN paths p USING (path_id)
    WHERE p.scope = 'field' AND p.key LIKE 'stage:%' ORDER BY p.key, {stretches.HISTORY_STRETCH}, h.position"""


def positions_about(view: Path, project: str, ref: EntityRef) -> list[int]:
    """Positions of all events about an entity, ascending. Without a version: about every version and the name itself.

    `ref` names a version, not a selector. Raises NotFoundError when the log has never named it.
    """
    found: set[int] = set()
    with contextlib.closing(open_reader(view)) as connection:
        for entity_id, _ in entities_of(connection, project, ref):
            found.update(position for (position,) in connection.execute(_ABOUT, {"id": entity_id}))
    return sorted(found)


def instances(view: Path, project: str, ref: EntityRef) -> list[str]:
    """The references that one without a version stands for, oldest first: of its versions, or else its own."""
    with contextlib.closing(open_reader(view)) as connection:
        found = [reference for _, reference in entities_of(connection, project, ref)]
    return [one for one in found if one != str(ref)] or found


def refused_about(view: Path, project: str, refs: Sequence[EntityRef], accepted: Collection[int]) -> list[int]:
    """Positions of quarantined events that came on a subject of these entities, or with the ID of an `accepted` one."""
    subjects = {subject_for(project, one) for ref in refs for one in (ref, _unversioned(ref))}
    below = tuple(f"{subject_for(project, ref)}." for ref in refs if ref.version is None)
    with contextlib.closing(open_reader(view)) as connection:
        found = {row[0] for row in connection.execute(_CONFLICTS, (json.dumps(list(accepted)),))}
        rows = connection.execute(_SUBJECTS)
        found.update(at for at, subject in rows if subject in subjects or subject.startswith(below))
    return sorted(found)


def refusals(view: Path, positions: Collection[int]) -> dict[int, Rejection]:
    """Which of these positions the view's fold has put into quarantine, and why."""
    with contextlib.closing(open_reader(view)) as connection:
        rows = {position: connection.execute(_REFUSED, (position,)).fetchone() for position in positions}
    return {position: Rejection(*row) for position, row in rows.items() if row is not None}


def signers_of(view: Path, positions: Collection[int]) -> dict[int, Signer]:
    """The keys that signed the events at these positions, of those that are signed."""
    with contextlib.closing(open_reader(view)) as connection:
        rows = connection.execute(_SIGNERS, (json.dumps(list(positions)),)).fetchall()
    return {position: Signer(*signer) for position, *signer in rows}


def successors(view: Path, project: str, ref: EntityRef) -> list[tuple[str, EntityRef]]:
    """The versions that took a stage of a model version after it: the stage, and the version."""
    if ref.kind != "model" or ref.version is None:
        return []
    with contextlib.closing(open_reader(view)) as connection:
        group = connection.execute(_ENTITIES, (project, "model", "", ref.name, "", "")).fetchone()
        rows = [] if group is None else connection.execute(_STAGES, (group[0],)).fetchall()
    return list(dict.fromkeys(_after(ref, rows)))


def _after(ref: EntityRef, rows: Sequence[tuple[str, str, object]]) -> Iterator[tuple[str, EntityRef]]:
    held: str | None = None
    for key, kind, holder in rows:
        if kind != "str":
            continue  # the stage was left: whoever takes it next still comes after
        if held == key and holder != ref.version:
            yield key.removeprefix("stage:"), EntityRef("model", ref.name, str(holder))
        held = key if holder == ref.version else None


def entities_of(connection: sqlite.Connection, project: str, ref: EntityRef) -> list[tuple[int, str]]:
    """Number and reference of an entity, or of all its versions. Raises NotFoundError when there is none."""
    named = (project, ref.kind, ref.run or "", ref.name, ref.version, ref.version)
    rows: list[tuple[int, str]] = connection.execute(_ENTITIES, named).fetchall()
    if not rows:
        raise NotFoundError(f"the log has never named {ref} in project {project!r}")
    return rows


def _unversioned(ref: EntityRef) -> EntityRef:
    return EntityRef(ref.kind, ref.name, run=ref.run, pipeline=ref.pipeline)
