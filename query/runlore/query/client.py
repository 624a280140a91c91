"""The client: where reading begins."""

from __future__ import annotations

import datetime as dt
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, cast
from urllib.parse import unquote, urlsplit

from runlore.query import entries as stored
from runlore.query.comparison import Comparison, Difference, differences
from runlore.query.entities import (
    ArtifactVersion,
    AsOf,
    Entity,
    ModelVersion,
    PipelineRun,
    StepRun,
    entity_class,
)
from runlore.query.reader import ViewReader
from runlore.schemas.errors import (
    AmbiguousError,
    NotFoundError,
    NotSentError,
    ReceiptTimeoutError,
    SettingsError,
)
from runlore.schemas.layout import ProjectorStatus, read_struct
from runlore.schemas.references import EntityRef, parse_ref
from runlore.schemas.settings import read_settings

POLL_SECONDS = 0.003
STATUS_SECONDS = 10.0
"""A projector's word older than this counts as none."""

_COLUMNS = "entity_id, project, kind, run, name, version, reference, created_position"
Before = Entity | int | None


class HasEventId(Protocol):
    """A receipt of the producer, or anything with an event ID."""

    @property
    def event_id(self) -> str: ...


class Client:
    """Reads the metadata of one project. Read-only; safe in several threads and processes at once.

    `data_dir_or_url`: a data folder (default: RUNLORE_DATA_DIR, else ``.runlore``), one view file, or a
    ``file://`` URL of either. `as_of`: a position or an aware datetime; everything is then read as the log
    knew it then.
    """

    def __init__(
        self,
        data_dir_or_url: str | Path | None = None,
        project: str | None = None,
        as_of: AsOf | None = None,
    ) -> None:
        settings = read_settings(project=project)
        self.project = settings.project
        self.reader = ViewReader(settings.data_dir if data_dir_or_url is None else _path(data_dir_or_url))
        self._as_of = None if as_of is None else self.position_at(as_of)

    # -- where the log stands ------------------------------------------------------------------------

    @property
    def position(self) -> int:
        """Everything up to this position of the log can be read; with `as_of`, that position."""
        head = int(self._state()[0])
        return head if self._as_of is None else min(head, self._as_of)

    def _state(self) -> tuple[Any, ...]:
        row = self.reader.one("SELECT position, recorded_us FROM view_state")
        assert row is not None
        return row

    @property
    def recorded_at(self) -> dt.datetime:
        """The log's clock at the last folded event, UTC."""
        return stored.utc(self._state()[1])

    @property
    def lag(self) -> int | None:
        """Events on the stream that cannot be read yet; None when no projector says how far the stream is."""
        if self.reader.data is None:
            return None
        status = read_struct(self.reader.data.status, ProjectorStatus)
        if status is None or time.time() - status.updated > STATUS_SECONDS:
            return None
        return max(0, status.stream_last - int(self._state()[0]))

    def position_at(self, when: AsOf) -> int:
        """The last position recorded at or before a time; a position stands for itself.

        Raises ValueError for a datetime without a time zone.
        """
        if isinstance(when, int):
            return when
        if when.tzinfo is None:
            raise ValueError(f"{when!r} has no time zone: say which moment is meant, e.g. .astimezone()")
        limit = (when - stored.EPOCH) // dt.timedelta(microseconds=1)
        # recorded_us never falls as position grows: halve the range instead of scanning.
        with self.reader.read():
            low, high = 0, int(self._state()[0])
            while low < high:
                middle = (low + high + 1) // 2
                row = self.reader.one(
                    "SELECT position, recorded_us FROM events WHERE position >= ? ORDER BY position LIMIT 1",
                    (middle,),
                )
                if row is None or row[1] > limit:
                    high = middle - 1
                else:
                    low = min(max(middle, int(row[0])), high)
        return low

    def wait_for(self, what: HasEventId | str | int, timeout: float = 10.0) -> int:
        """Wait until an event (receipt, event ID or position) can be read; its position.

        Raises ReceiptTimeoutError after `timeout` seconds, NotSentError when the event was quarantined.
        """
        deadline = time.monotonic() + timeout
        while True:
            found = self._folded(what)
            if found is not None:
                return found
            if time.monotonic() >= deadline:
                raise ReceiptTimeoutError(
                    f"{what!r} cannot be read after {timeout:g} s: is the projector running? See `runlore doctor`"
                )
            time.sleep(POLL_SECONDS)

    def _folded(self, what: HasEventId | str | int) -> int | None:
        try:
            if isinstance(what, int):
                return what if int(self._state()[0]) >= what else None
            event_id = what if isinstance(what, str) else what.event_id
            row = self.reader.one("SELECT position FROM events WHERE event_id = ?", (event_id,))
            if row is not None:
                return int(row[0])
            bad = self.reader.one("SELECT position, error FROM quarantine WHERE event_id = ?", (event_id,))
        except NotFoundError:
            return None  # no view yet: the projector is starting
        if bad is not None:
            raise NotSentError(f"event {event_id} is in quarantine at position {bad[0]}: {bad[1]}")
        return None

    # -- one entity ----------------------------------------------------------------------------------

    def get(self, reference: str | EntityRef, as_of: AsOf | None = None) -> Entity:
        """The entity of a reference; without a version, the latest. Raises NotFoundError."""
        ref = parse_ref(reference)
        at = self._as_of if as_of is None else self.position_at(as_of)
        if ref.kind in ("run", "step", "pipeline"):
            return self._found(ref.kind, ref.run or "", ref.name, "", at)
        return self._version(ref.kind, ref.name, ref.version, at)

    def get_artifact_version(self, name: str, version: str | int | None = None) -> ArtifactVersion:
        """A version of an artifact; without one, the latest. Raises NotFoundError."""
        found = self._version("artifact", name, None if version is None else str(version), self._as_of)
        return cast(ArtifactVersion, found)

    def get_model_version(self, name: str, version: str | int | None = None) -> ModelVersion:
        """A version of a model: by its name, a stage, or ``latest`` (the default). Raises NotFoundError."""
        found = self._version("model", name, None if version is None else str(version), self._as_of)
        return cast(ModelVersion, found)

    def get_pipeline_run(self, name_id_or_prefix: str | None = None) -> PipelineRun:
        """A run by ID, name, pipeline (its last run) or unique prefix of an ID; without one, the last run.

        Raises NotFoundError, or AmbiguousError listing what fits.
        """
        with self.reader.read():
            if name_id_or_prefix is None:
                newest = self.list_pipeline_runs(limit=1)
                if not newest:
                    raise NotFoundError(f"project {self.project!r} has no runs")
                return newest[0]
            return cast(PipelineRun, self._run(name_id_or_prefix))

    def _run(self, wanted: str) -> Entity:
        row = self._row("run", "", wanted, "", self._as_of)
        if row is not None:
            return self._entity(row, self._as_of)
        pipeline = self._row("pipeline", "", wanted, "", self._as_of)
        if pipeline is not None:
            last = self._entity(pipeline, self._as_of).fields.get("last_run")
            if last is not None:
                return self._found("run", "", last, "", self._as_of)
        named = self._runs_named(wanted)
        rows = named or self.reader.rows(
            f"SELECT {_COLUMNS} FROM entities WHERE project = ? AND kind = 'run' AND run = ''"
            " AND name >= ? AND substr(name, 1, ?) = ? AND created_position <= ? LIMIT 6",
            (self.project, wanted, len(wanted), wanted, self._limit(self._as_of)),
        )
        if not rows:
            raise NotFoundError(f"no run, pipeline or run ID prefix {wanted!r} in project {self.project!r}")
        if len(rows) > 1:
            raise AmbiguousError(f"{wanted!r} fits several runs: {', '.join(row[4] for row in rows)}")
        return self._entity(rows[0], self._as_of)

    def _runs_named(self, name: str) -> list[tuple[Any, ...]]:
        return self.reader.rows(
            f"SELECT {', '.join(f'e.{column.strip()}' for column in _COLUMNS.split(','))} FROM entities e"
            " JOIN heads h USING (entity_id) WHERE e.project = ? AND e.kind = 'run' AND h.value = ? AND h.path_id ="
            " (SELECT path_id FROM paths WHERE scope = 'field' AND key = 'name') AND e.created_position <= ? LIMIT 6",
            (self.project, name, self._limit(self._as_of)),
        )

    def _version(self, kind: str, name: str, version: str | None, as_of: int | None) -> Entity:
        with self.reader.read():
            if version is not None and version != "latest":
                row = self._row(kind, "", name, version, as_of)
                if row is not None:
                    return self._entity(row, as_of)
            group = self._row(kind, "", name, "", as_of)
            if group is None:
                raise NotFoundError(f"no {kind} named {name!r} in project {self.project!r}")
            fields = self._entity(group, as_of, Entity).fields
            selected = fields.get("latest") if version in (None, "latest") else fields.get(f"stage:{version}")
            if selected is None:
                raise NotFoundError(f"{kind} {name!r} has no version or stage {version!r}")
            return self._found(kind, "", name, selected, as_of)

    def _found(self, kind: str, run: str, name: str, version: str, as_of: int | None) -> Entity:
        row = self._row(kind, run, name, version, as_of)
        if row is None:
            of = f" of run {run}" if run else ""
            raise NotFoundError(f"no {kind} {name!r}{of} in project {self.project!r}")
        return self._entity(row, as_of)

    def _row(self, kind: str, run: str, name: str, version: str, as_of: int | None = None) -> tuple[Any, ...] | None:
        return self.reader.one(
            f"SELECT {_COLUMNS} FROM entities WHERE project = ? AND kind = ? AND run = ? AND name = ? AND version = ?"
            " AND created_position <= ?",
            (self.project, kind, run, name, version, self._limit(as_of)),
        )

    @staticmethod
    def _limit(as_of: int | None) -> int:
        return 2**63 - 1 if as_of is None else as_of

    def _entity(self, row: tuple[Any, ...], as_of: int | None, kind: type[Entity] | None = None) -> Entity:
        return (kind or entity_class(row[2]))(self, row, as_of)

    # -- several entities ----------------------------------------------------------------------------

    def list_entities(
        self, kind: str, name: str | None = None, limit: int = 100, before: Before = None
    ) -> list[Entity]:
        """Entities of a kind (versions, where it has them), newest first.

        `before`: the last entity of a page, for the page after it; or a position, for what was created before it.
        """
        conditions, values = (
            ["project = ?", "kind = ?", "created_position <= ?"],
            list[Any]([self.project, kind, self._limit(self._as_of)]),
        )
        if before is not None:
            # One event can name many entities, so a position alone cannot say where a page ended.
            conditions.append("(created_position, entity_id) < (?, ?)")
            values += (before, 0) if isinstance(before, int) else before.place
        if kind not in ("run", "step", "pipeline"):
            conditions.append("version != ''")
        if name is not None:
            conditions.append("name = ?")
            values.append(name)
        rows = self.reader.rows(
            f"SELECT {_COLUMNS} FROM entities WHERE {' AND '.join(conditions)}"
            " ORDER BY created_position DESC, entity_id DESC LIMIT ?",
            (*values, limit),
        )
        return [self._entity(row, self._as_of) for row in rows]

    def list_artifact_versions(
        self, name: str | None = None, limit: int = 100, before: Before = None
    ) -> list[ArtifactVersion]:
        return cast(list[ArtifactVersion], self.list_entities("artifact", name, limit, before))

    def list_model_versions(
        self, name: str | None = None, limit: int = 100, before: Before = None
    ) -> list[ModelVersion]:
        return cast(list[ModelVersion], self.list_entities("model", name, limit, before))

    def list_steps(self, limit: int = 100, before: Before = None) -> list[StepRun]:
        return cast(list[StepRun], self.list_entities("step", None, limit, before))

    def list_pipeline_runs(
        self,
        pipeline: str | None = None,
        status: str | None = None,
        limit: int = 100,
        before: Before = None,
    ) -> list[PipelineRun]:
        """Runs, newest first; of one pipeline or with one status, if given."""
        found: list[PipelineRun] = []
        with self.reader.read():
            while len(found) < limit:
                page = cast(list[PipelineRun], self.list_entities("run", None, 200, before))
                found += [
                    run
                    for run in page
                    if (pipeline is None or run.pipeline == pipeline) and (status is None or run.status == status)
                ]
                if len(page) < 200:
                    break
                before = page[-1]
        return found[:limit]

    def list_kinds(self) -> dict[str, int]:
        """The kinds of entities in the project and how many there are of each."""
        rows = self.reader.rows(
            "SELECT kind, count(*) FROM entities WHERE project = ? AND created_position <= ?"
            " AND (version != '' OR kind IN ('run', 'step', 'pipeline')) GROUP BY kind ORDER BY kind",
            (self.project, self._limit(self._as_of)),
        )
        return dict(rows)

    def steps_of(self, project: str, run: str, as_of: int | None) -> list[StepRun]:
        """The steps of a run, in the order in which the log named them."""
        rows = self.reader.rows(
            f"SELECT {_COLUMNS} FROM entities WHERE project = ? AND kind = 'step' AND run = ?"
            " AND created_position <= ? ORDER BY entity_id",
            (project, run, self._limit(as_of)),
        )
        return [StepRun(self, row, as_of) for row in rows]

    def linked(self, entity_id: int, relation: str, as_of: int | None) -> list[Entity]:
        """Entities that another relates to, in the order in which it was said."""
        rows = self.reader.rows(
            f"SELECT {_COLUMNS} FROM links JOIN entities ON entity_id = target_id"
            " WHERE source_id = ? AND relation = ? AND position <= ? GROUP BY entity_id ORDER BY min(position)",
            (entity_id, relation, self._limit(as_of)),
        )
        return [self._entity(row, as_of) for row in rows]

    def compare(self, entities: Sequence[Entity | str]) -> Comparison:
        """A table of the leaves of several entities; those that differ come first."""
        with self.reader.read():
            return Comparison([self.get(item) if isinstance(item, str) else item for item in entities])

    def diff(self, before: Entity | str, after: Entity | str) -> list[Difference]:
        """What was added, removed, changed or stayed equal between two entities, or one at two moments (`as_of`)."""
        with self.reader.read():
            return differences(*self.compare((before, after)).entities)

    def quarantine(self, limit: int = 100) -> list[dict[str, Any]]:
        """Events that could not be folded, newest first: position, event_id, subject, stage, error, payload."""
        names = ("position", "event_id", "subject", "stage", "error", "payload")
        rows = self.reader.rows(f"SELECT {', '.join(names)} FROM quarantine ORDER BY position DESC LIMIT ?", (limit,))
        return [dict(zip(names, row, strict=True)) for row in rows]

    def producers(self) -> list[dict[str, Any]]:
        """Every producer and how many of its events are missing or came late."""
        rows = self.reader.rows(
            "SELECT producer, last_position, highest_seq, highest_seq - seen, late FROM producers"
            " ORDER BY last_position DESC"
        )
        names = ("producer", "last_position", "highest_seq", "missing", "late")
        return [dict(zip(names, row, strict=True)) for row in rows]

    def close(self) -> None:
        """Close all connections; the client can be used again."""
        self.reader.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _path(data_dir_or_url: str | Path) -> Path:
    text = str(data_dir_or_url)
    if "://" not in text:
        return Path(text).expanduser().absolute()
    parts = urlsplit(text)
    if parts.scheme != "file":
        raise SettingsError(
            f"{text!r}: a client reads a data folder, a view file or a file:// URL on this machine. "
            "Copy the view here, or run the client where the projector runs"
        )
    return Path(unquote(parts.path))
