"""The trail of an entity: the positions of all events about it."""

from __future__ import annotations

import contextlib
from pathlib import Path

from runlore.schemas.errors import NotFoundError
from runlore.schemas.references import EntityRef
from runlore.store import stretches
from runlore.store.sqlite import open_reader

_ABOUT = f"""
    SELECT created_position FROM entities WHERE entity_id = :id
    UNION SELECT m.position FROM {stretches.of_entity(":id")}
    UNION SELECT position FROM links WHERE source_id = :id
"""


def positions_about(view: Path, project: str, ref: EntityRef) -> list[int]:
    """Positions of all events about an entity, ascending. Without a version: about every version and the name itself.

    `ref` names a version, not a selector. Raises NotFoundError when the log has never named it.
    """
    with contextlib.closing(open_reader(view)) as connection:
        rows = connection.execute(
            "SELECT entity_id FROM entities WHERE project = ? AND kind = ? AND run = ? AND name = ?"
            " AND (version = ? OR ? IS NULL)",
            (project, ref.kind, ref.run or "", ref.name, ref.version, ref.version),
        ).fetchall()
        if not rows:
            raise NotFoundError(f"the log has never named {ref} in project {project!r}")
        found: set[int] = set()
        for (entity_id,) in rows:
            found.update(position for (position,) in connection.execute(_ABOUT, {"id": entity_id}))
    return sorted(found)
