"""The client: where reading begins. Each method names the part that answers it."""

from __future__ import annotations

import datetime as dt
import importlib
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast
from urllib.parse import unquote, urlsplit

from runlore.query import evidence, listing, lookup, text_search
from runlore.query.attention import producers, quarantine, quarantined
from runlore.query.compare.comparison import Best, Comparison
from runlore.query.compare.diff import Differences, differences
from runlore.query.entities import ArtifactVersion, ModelVersion, PipelineRun, StepRun
from runlore.query.entity import Entity
from runlore.query.erasing import erase
from runlore.query.find.parse import Filters
from runlore.query.find.search import Found, find
from runlore.query.frames import Frame
from runlore.query.history import History
from runlore.query.listing import Before
from runlore.query.notebook import html_table
from runlore.query.scope import Scope
from runlore.query.tables import table_of
from runlore.query.text_search import Hits
from runlore.query.time.moment import NO_END, AsOf, Clock, Moment, check_clock, utc
from runlore.query.view.connection import ViewReader
from runlore.query.waiting import HasEventId, wait_for
from runlore.query.watch.feed import AsyncWatch, Watch, feed
from runlore.query.watch.selection import Since
from runlore.schemas.errors import NotFoundError, RunloreError, SettingsError
from runlore.schemas.paths import PathParts
from runlore.schemas.references import EntityRef
from runlore.schemas.settings import read_settings, user_path
from runlore.store.folder import DataDir
from runlore.store.private_files import read_struct
from runlore.store.records import Erasing, ProjectorStatus

__all__ = ["Client", "HasEventId"]

_REMOTE_SCHEMES = ("nats", "tls", "ws", "wss", "http", "https")
_REPLICA = "replica:"
MOST = 2**53
"""Rows of a frame, where no limit is given."""
STATUS_SECONDS = 10.0
"""A projector whose status is older than this is not running."""

Thing = Entity | EntityRef | str
"""An entity, or a reference to one."""


class Client:
    """Reads the metadata of one project. Read-only; safe in several threads and processes at once.

    `data_dir_or_url`: a data folder (default: RUNLORE_DATA_DIR, else ``.runlore``), one view file, or a
    ``file://`` URL of either; ``replica:`` and the folder of a `runlore replica`; or a NATS address such as
    ``nats://host:4222``, to ask the query service of `runlore up` or `runlore query serve`; or the address of the page,
    such as ``https://host``, with its `token` (default: RUNLORE_TOKEN). Without it, and with no view in the folder,
    RUNLORE_URL is asked.

    `as_of`: a position, an aware datetime or a text such as ``"2h ago"``; everything is then read as the log
    knew it then: the log's own clock decides. With ``clock="occurred"`` the producers' clocks decide: what they
    say had happened by then, as far as it is known today; such an answer can still change when an event comes
    late. Times in `since` and `until` go by the same clock. Raises MomentError for what is no such moment.
    """

    def __new__(cls, data_dir_or_url: str | Path | None = None, *_: Any, **__: Any) -> Client:
        """A client of this class, or of the one that asks a query service."""
        if cls is Client and _is_remote(data_dir_or_url):
            cls = _remote_class()
        return object.__new__(cls)

    def __init__(
        self,
        data_dir_or_url: str | Path | None = None,
        project: str | None = None,
        as_of: AsOf | None = None,
        clock: Clock = "recorded",
        token: str | None = None,
    ) -> None:
        self.scope = self._scope_of(data_dir_or_url, project, check_clock(clock), token)
        """View, project, moment and clock of every read."""
        if as_of is not None:
            self.scope = self.scope.at(self.scope.moment_of(as_of))

    @staticmethod
    def _scope_of(where: str | Path | None, project: str | None, clock: Clock, token: str | None) -> Scope:
        """The scope of everything that is there. A folder that is given says where to read: then RUNLORE_DATA_DIR
        need make no sense."""
        settings = read_settings(project=project, data_dir=None if where is None else _path(where))
        if token is not None:
            raise SettingsError("token= opens the page at https://…, and files need none: leave it out")
        return Scope(ViewReader(settings.data_dir), settings.project, clock=clock)

    @classmethod
    def over(cls, scope: Scope) -> Client:
        """A client that reads a scope: another project or moment over the connections of another client."""
        if cls is Client and type(scope) is not Scope:
            cls = _remote_class()
        client = object.__new__(cls)
        client.scope = scope
        return client

    # -- how far the log is --------------------------------------------------------------------------

    @property
    def project(self) -> str:
        return self.scope.project

    @property
    def position(self) -> int:
        """The latest event that can be read; with `as_of`, the one of that moment."""
        return self.scope.position

    @property
    def recorded_at(self) -> dt.datetime:
        """When the log recorded the latest event that can be read, UTC."""
        return self.scope.recorded_at

    @property
    def lag(self) -> int | None:
        """Events on the stream that cannot be read yet; None when no projector says how far the stream is."""
        data = self.scope.reader.data
        status = None if data is None else read_struct(data.status, ProjectorStatus)
        if status is None or time.time() - status.updated > STATUS_SECONDS:
            return None
        return max(0, status.stream_last - self.scope.head)

    def position_at(self, when: AsOf) -> int:
        """Return the last event recorded at or before a time; an event number is returned as it is.

        Raises MomentError (a ValueError) for a datetime without a time zone, or a text that is not understood.
        """
        return self.scope.position_at(when)

    def moment_of(self, when: AsOf, clock: Clock | None = None) -> Moment:
        """Return the moment of an event number or time, by this client's clock unless another is given.

        By the producers' clocks that is what they say had happened by then, out of what this client knows.
        Raises MomentError for a position by the producers' clocks.
        """
        return self.scope.moment_of(when, clock)

    def wait_for(self, what: HasEventId | str | int, timeout: float = 10.0) -> int:
        """Wait until an event (receipt, event ID or event number) can be read, and return its number.

        Raises ReceiptTimeoutError after `timeout` seconds, NotSentError when the event was quarantined.
        """
        return wait_for(self.scope, what, timeout)

    # -- one entity ----------------------------------------------------------------------------------

    def get(self, reference: str | EntityRef, as_of: AsOf | None = None) -> Entity:
        """Return the entity of a reference; without a version, the latest. Raises NotFoundError."""
        scope = self.scope if as_of is None else self.scope.at(self.scope.moment_of(as_of))
        return lookup.entity_at(scope, reference)

    def get_artifact_version(self, name: str, version: str | int | None = None) -> ArtifactVersion:
        """Return a version of an artifact; without one, the latest. Raises NotFoundError."""
        found = lookup.version_named(self.scope, "artifact", name, version)
        return cast(ArtifactVersion, found)

    def get_model_version(self, name: str, version: str | int | None = None) -> ModelVersion:
        """Return a version of a model: by its name, a stage, or ``latest`` (the default). Raises NotFoundError."""
        found = lookup.version_named(self.scope, "model", name, version)
        return cast(ModelVersion, found)

    def get_pipeline_run(self, name_id_or_prefix: str | None = None) -> PipelineRun:
        """Return a run by ID, name, pipeline (its last run) or unique prefix of an ID; without one, the last run.

        Raises NotFoundError, or AmbiguousError listing the matches.
        """
        return lookup.run_of(self.scope, name_id_or_prefix)

    # -- lists ---------------------------------------------------------------------------------------

    def list_entities(
        self, kind: str, name: str | None = None, limit: int = 100, before: Before = None
    ) -> list[Entity]:
        """Entities of a kind (versions, where it has them), newest first.

        `before`: the last entity of a page, for the page after it; or a position, for what was created before it.
        """
        return listing.list_entities(self.scope, kind, name, limit, before)

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
        """Return runs, newest first; of one pipeline or with one status, if given."""
        return listing.list_runs(self.scope, pipeline, status, limit, before)

    def list_kinds(self) -> dict[str, int]:
        """Return the kinds of entities in the project and the number of each."""
        return listing.count_kinds(self.scope)

    # -- questions -----------------------------------------------------------------------------------

    def find(
        self,
        kind: str | None,
        where: Filters | None = None,
        *,
        order_by: str | None = None,
        descending: bool = False,
        limit: int = 100,
        after: str | None = None,
        as_of: AsOf | None = None,
    ) -> Found:
        """Entities of a kind (None: of all) that match a filter, such as ``metrics.accuracy > 0.9 and not retired``.

        `where`: a filter, or several that must all hold; docs/filters.md has the language. Without `order_by` (a key
        or field) the newest come first. `after`: the `cursor` of the page before. Raises FilterError, and MomentError
        by the producers' clocks: a find goes by positions.
        """
        return find(self.scope, kind, where, order_by, descending, limit, after, as_of)

    def frame(
        self,
        kind: str,
        where: Filters | None = None,
        *,
        columns: Sequence[str] | None = None,
        order_by: str | None = None,
        descending: bool = False,
        limit: int | None = None,
        as_of: AsOf | None = None,
    ) -> Frame:
        """Return a table of the entities that `find` finds, all of them unless there is a `limit`.

        A row each, a column for each field, parameter (``parameters.lr``) and path of metadata (``metrics.accuracy``);
        or those in `columns`, in that order. `Frame.to_pandas`, `to_polars` and `to_arrow` give typed columns.

            client.frame("run", "status = 'completed'", columns=["name", "parameters.lr", "loss"]).to_pandas()
        """
        most = MOST if limit is None else limit
        with self.scope.reader.read():
            found = self.find(kind, where, order_by=order_by, descending=descending, limit=most, as_of=as_of)
            frame = table_of(found, columns)
            frame.position = found.position
            return frame

    def table(self, entities: Iterable[Thing], columns: Sequence[str] | None = None) -> Frame:
        """Return a table of given entities; see `frame`."""
        with self.scope.reader.read():
            return table_of([self._entity_of(item) for item in entities], columns)

    def search(self, text: str, kind: str | None = None, limit: int = 50) -> Hits:
        """Search for words that occur together in a name, in a key, or in a key and its text value, as of now.

        The last word may be the beginning of one. Names come first. The index follows the log within about a
        second: `.position` of the answer says how far. Raises LatestOnlyError for a client with `as_of`.
        """
        return text_search.search(self.scope, text, kind, limit)

    def compare(self, entities: Sequence[Thing], best: Best | None = None) -> Comparison:
        """Return a table of all keys of several entities, by path; those that differ come first.

        `best`: mark the largest (``"max"``) or smallest (``"min"``) number of each row that differs.
        """
        with self.scope.reader.read():
            return Comparison([self._entity_of(item) for item in entities], best)

    def diff(
        self, before: Thing, after: Thing | None = None, since: AsOf | None = None, until: AsOf | None = None
    ) -> Differences:
        """Return what was added, removed, changed or is equal between two entities, or in one between two moments.

        `before` is read as of `since`, `after` as of `until`; without them, as of the moment of the entity, or of
        the client for a reference. Each reference is looked up at its own moment, so that a stage may mean
        two versions; without `after`, the entity is looked up as of `until`, and is the same on both sides. An
        entity that did not exist yet at its moment has no leaves.
        """
        with self.scope.reader.read():
            second = self._side(before if after is None else after, until)
            if after is not None:
                first = self._side(before, since)
            elif since is not None:
                first = second.seen_at(self.moment_of(since))
            else:
                first = self._entity_of(before)
            return differences(first, second)

    def _side(self, thing: Thing, when: AsOf | None) -> Entity:
        if when is None:
            return self._entity_of(thing)
        moment = self.moment_of(when)
        return thing.seen_at(moment) if isinstance(thing, Entity) else lookup.entity_at(self.scope.at(moment), thing)

    def blame(self, entity: Thing, ended: bool = False) -> History:
        """Return the entry that last set each key; see `Entity.blame`."""
        return self._entity_of(entity).blame(ended)

    def _entity_of(self, thing: Thing) -> Entity:
        return thing if isinstance(thing, Entity) else self.get(thing)

    # -- following the log ---------------------------------------------------------------------------

    def watch(
        self,
        what: str | EntityRef | None = None,
        *,
        key: str | PathParts | None = None,
        kind: str | None = None,
        since: Since | None = None,
        timeout: float | None = None,
    ) -> Watch:
        """An iterator over new entries, in the order of the log, each once, for as long as it is iterated.

        `what`: a reference (without a version: all versions; a run: its steps, too; a stage: whichever version
        holds it at the time) or a filter. `key`: only that key, group or leaf. `since`: a position or
        time (as for `as_of`), or a change's `place`, to go on after it; without, from now on. `timeout`: end after
        this many seconds without an entry; 0 ends when everything that is there was given.
        Raises LatestOnlyError for a client with `as_of`.
        """
        return Watch(feed(self.scope, what, key, kind, since), timeout)

    def watch_async(
        self,
        what: str | EntityRef | None = None,
        *,
        key: str | PathParts | None = None,
        kind: str | None = None,
        since: Since | None = None,
        timeout: float | None = None,
    ) -> AsyncWatch:
        """`watch` for `async for` under asyncio or trio."""
        return AsyncWatch(feed(self.scope, what, key, kind, since), timeout)

    # -- what needs attention, evidence --------------------------------------------------------------

    def quarantine(self, limit: int = 100, subjects: Sequence[str] | None = None) -> list[dict[str, Any]]:
        """Return events that could not be applied, newest first: position, event_id, subject, stage, error, payload.

        With `as_of`, those up to that position. `subjects`: only those whose subject begins with one of these texts.
        """
        return quarantine(self.scope, limit, subjects)

    def quarantined(self, most: int = 1000) -> int:
        """Return the number of quarantined events, counted up to `most`; with `as_of`, up to that event."""
        return quarantined(self.scope, most)

    def producers(self) -> list[dict[str, Any]]:
        """Return every producer, and how many of its events are missing or came late, or claim implausible numbers.

        `signer` is the key that signs its events, and whose it is now; None for a producer that does not sign.
        """
        return producers(self.scope)

    def logged_event(self, position: int) -> evidence.LoggedEvent:
        """Return an event as it was archived: raw, decoded, and proved against the newest checkpoint.

        Reads log.db, so only in the data folder of a projector, and never in its process. The signature of the
        checkpoint is not checked. Raises NotFoundError when there is no such event, CorruptLogError.
        """
        return evidence.logged_event(self.scope, position)

    def audit_state(self) -> evidence.AuditState:
        """Return how far the log is archived and signed, its newest checkpoint, and the last result of `audit verify`.

        Raises NotFoundError where there is no log, CorruptLogError when it is damaged.
        """
        return evidence.audit_state(self.scope)

    # -- forgetting ----------------------------------------------------------------------------------

    def erase(
        self,
        what: str | EntityRef | int,
        *keys: str | PathParts,
        reason: str,
        who: str | None = None,
        content: Sequence[str] = (),
        dry_run: bool = True,
        timeout: float = 60.0,
    ) -> Erasing:
        """Erase what was logged about an entity, or all content of one event, for good; by default only say what.

        `what`: a reference (without a version: all versions), or the number of an event. `keys`: as of
        `runlore erase`. `content`: kinds of content, of metadata (the default without keys), parameters, environment,
        notes, reasons, errors, or everything. Only in the data folder of a projector that runs, for whoever may read
        the key that signs its log. Raises HeldError where a legal hold keeps it, NotFoundError where there is nothing,
        SettingsError without the key, and by a remote client RunloreError.
        """
        return erase(self.scope, what, keys, reason, who, content, dry_run, timeout)

    # -- its life ------------------------------------------------------------------------------------

    def close(self) -> None:
        """Close all connections; the client can be used again."""
        self.scope.reader.close()

    def __repr__(self) -> str:
        moment, occurred = self.scope.moment
        at = "" if moment == NO_END else f" as of event {moment:,}"
        by = "" if occurred is None else f", occurred by {utc(occurred).isoformat()}"
        return f"<Client of project {self.project!r} in {self.scope.reader.path}{at}{by}>"

    def _repr_html_(self) -> str:
        try:
            with self.scope.reader.read():
                position, kinds = self.position, self.list_kinds()
        except RunloreError as error:
            return html_table((), [(str(error),)], repr(self))
        rows = [("events", position), *kinds.items()]
        return html_table(("", ""), rows, repr(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).over, (self.scope,)

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _remote_class() -> type[Client]:
    # By name: local reads need no NATS.
    return cast("type[Client]", importlib.import_module("runlore.query.remote.client").RemoteClient)


def _is_remote(data_dir_or_url: str | Path | None) -> bool:
    """Return whether a service is meant: by its address, or by RUNLORE_URL where no folder has a view."""
    if data_dir_or_url is not None:
        return str(data_dir_or_url).partition("://")[0] in _REMOTE_SCHEMES and "://" in str(data_dir_or_url)
    settings = read_settings()
    return settings.url is not None and not DataDir(settings.data_dir).current.exists()


def _path(data_dir_or_url: str | Path) -> Path:
    text = str(data_dir_or_url)
    if text.startswith(_REPLICA):
        return _replica_folder(_path(text.removeprefix(_REPLICA)))
    if "://" not in text:
        try:
            return user_path(text)
        except ValueError as error:
            raise SettingsError(f"{text!r}: {error}") from error
    parts = urlsplit(text)
    if parts.scheme != "file":
        raise SettingsError(
            f"{text!r}: use a data folder, a view file, a file:// URL, replica:FOLDER, a NATS server "
            "(nats://host:4222) or the page (https://host)"
        )
    return Path(unquote(parts.path))


def _replica_folder(folder: Path) -> Path:
    data = DataDir(folder)
    if not data.replica.exists():
        if data.log.exists():
            raise NotFoundError(f"{folder} is no replica, it is a projector's folder: leave out {_REPLICA!r}")
        raise NotFoundError(f"{folder} is no replica: `runlore replica --data-dir {folder}` makes it one")
    return folder
