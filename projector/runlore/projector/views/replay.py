"""Replay: the read model as it was at a position, in a separate file."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from runlore.projector.archiving.archive import ArchiveReader
from runlore.projector.progress import Progress
from runlore.projector.views.generations import remove_view
from runlore.projector.views.rebuild import fill
from runlore.schemas.errors import NotFoundError
from runlore.schemas.references import EntityRef
from runlore.store.sqlite import open_reader, sqlite

_NARROW = (
    "DELETE FROM history WHERE entity_id NOT IN (SELECT entity_id FROM kept)",
    "DELETE FROM heads WHERE entity_id NOT IN (SELECT entity_id FROM kept)",
    "DELETE FROM history_values WHERE entity_id NOT IN (SELECT entity_id FROM kept)",
    "DELETE FROM head_values WHERE entity_id NOT IN (SELECT entity_id FROM kept)",
    "DELETE FROM mentions WHERE entity_id NOT IN (SELECT entity_id FROM kept)",
    "DELETE FROM events WHERE position NOT IN (SELECT position FROM mentions)",
    # Runs and steps that kept events came from, and what kept entities are linked to, stay as names.
    """INSERT INTO named SELECT entity_id FROM kept
    UNION SELECT run_entity_id FROM events WHERE run_entity_id IS NOT NULL
    UNION SELECT step_entity_id FROM events WHERE step_entity_id IS NOT NULL
    UNION SELECT source_id FROM links WHERE target_id IN (SELECT entity_id FROM kept)
    UNION SELECT target_id FROM links WHERE source_id IN (SELECT entity_id FROM kept)""",
    """DELETE FROM links WHERE source_id NOT IN (SELECT entity_id FROM kept)
    AND target_id NOT IN (SELECT entity_id FROM kept)""",
    "DELETE FROM entities WHERE entity_id NOT IN (SELECT entity_id FROM named)",
    "DELETE FROM actors WHERE actor_id NOT IN (SELECT actor_id FROM events)",
    "DELETE FROM producers WHERE producer_id NOT IN (SELECT producer_id FROM events)",
    "DELETE FROM paths WHERE path_id NOT IN (SELECT path_id FROM heads)",
)


def replay(
    log: ArchiveReader,
    into: Path,
    until: int | None = None,
    project: str | None = None,
    entity: EntityRef | None = None,
    progress: Progress | None = None,
) -> int:
    """Fold the log up to `until` (its end, if None) into a new file that `Client` reads; the position reached.

    With `project` or `entity` (all its versions, if the reference has none; a run with its steps) everything is
    folded, because version numbers come from the whole log, and the rest is left out of the file.
    Raises NotFoundError for an entity the log had not named by then, CorruptLogError when the file exists.
    """
    view = fill(log, into, progress, until)
    with contextlib.ExitStack() as unfinished:
        unfinished.callback(remove_view, into)
        unfinished.callback(view.close)
        position = view.position
        if project is not None or entity is not None:
            _narrow(into, project, entity)
        unfinished.pop_all()
    view.close()
    _in_one_file(into)
    return position


def _narrow(path: Path, project: str | None, entity: EntityRef | None) -> None:
    condition, values = _which(project, entity)
    with contextlib.closing(sqlite.connect(str(path), isolation_level=None)) as connection:
        connection.execute("BEGIN")
        connection.execute(f"CREATE TEMP TABLE kept AS SELECT entity_id FROM entities WHERE {condition}", values)
        connection.execute("CREATE TEMP TABLE named (entity_id INTEGER PRIMARY KEY)")
        if connection.execute("SELECT count(*) FROM kept").fetchone()[0] == 0:
            hint = "; a run is meant by its ID here" if entity is not None and entity.kind == "run" else ""
            raise NotFoundError(f"the log had not named {entity or f'project {project}'} by then{hint}")
        for statement in _NARROW:
            connection.execute(statement)
        connection.execute("COMMIT")
        connection.execute("VACUUM")


def _which(project: str | None, entity: EntityRef | None) -> tuple[str, list[str]]:
    """The condition on `entities` for what stays, and its values."""
    parts: list[tuple[str, list[str]]] = []
    if project is not None:
        parts.append(("project = ?", [project]))
    if entity is not None and entity.kind == "run":
        parts.append(("(kind = 'run' AND name = ? OR kind = 'step' AND run = ?)", [entity.name] * 2))
    elif entity is not None:
        parts.append(("kind = ? AND name = ? AND run = ?", [entity.kind, entity.name, entity.run or ""]))
        if entity.version is not None:
            parts.append(("version IN ('', ?)", [entity.version]))
    return " AND ".join(text for text, _ in parts), [value for _, values in parts for value in values]


def _in_one_file(path: Path) -> None:
    """Leave WAL mode: the file is final, and can be copied and read from a folder nobody may write."""
    with contextlib.closing(sqlite.connect(str(path), isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode = DELETE").fetchall()


def mentioning(path: Path) -> Iterator[int]:
    """The positions of the events of a replayed file, in order."""
    with contextlib.closing(open_reader(path)) as connection:
        for (position,) in connection.execute("SELECT position FROM events ORDER BY position"):
            yield int(position)
