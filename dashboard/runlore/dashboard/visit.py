"""One request: its project, its moment, and the parameters that every link keeps."""

from __future__ import annotations

import datetime as dt
import difflib
import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from starlette.requests import Request

from runlore.dashboard.access import Access, access_of
from runlore.dashboard.links import ParamValue, address
from runlore.query import Client, Entity
from runlore.query.activity import projects, recorded_at
from runlore.query.lookup import first_version
from runlore.query.page.counts import KindCounts
from runlore.query.time.moment import NO_END, NOW, Clock, Moment, check_clock, utc
from runlore.schemas.errors import ArgumentError, NotFoundError
from runlore.schemas.references import EntityRef, parse_ref

MAX_PAGE = 500
"""Maximum number of rows on one page or in one answer."""

PAGE_ONLY = ("as_of", "clock", "after", "before", "from", "part")
"""Parameters that have no meaning at another moment."""

BY_POSITION = ("/", "/list", "/search", "/trail", "/event", "/payload", "/audit", "/quarantine")
"""Pages of events, which the producers' clocks do not order: links to them use the log's clock."""

LATEST_ONLY = ("/search", "/audit", "/checkpoint.txt", "/quarantine")
"""Pages that always show the latest state; only their links keep the moment."""


class Visit:
    """One request. `client` reads as of its moment, `now` reads the latest state."""

    def __init__(self, request: Request, base: Client, counts: KindCounts) -> None:
        self._counts = counts
        self.request, self.params = request, request.query_params
        self.access = access_of(request)
        self.server_project = base.project
        self.home_project = home_project(self.access, base.project)
        self.now = _client(base, self.params.get("project") or self.home_project, NOW)
        if self.now.project != self.home_project and self.now.project not in self.projects:
            raise NotFoundError(f"no project {self.now.project!r}; projects: {', '.join(self.projects[:20])}")
        self.as_of = self.params.get("as_of", "").strip()
        self.clock: Clock = check_clock(cast(Clock, self.text("clock") or "recorded"))
        moment = self.now.moment_of(self.as_of, self.clock) if self.as_of else NOW
        self.client = _client(base, self.now.project, moment)
        self.head = self.now.position
        self.position = min(self.head, moment.position)

    @functools.cached_property
    def projects(self) -> list[str]:
        """The projects of the log that this visitor sees."""
        return self.access.seen(projects(self.now.scope))

    @property
    def kinds(self) -> dict[str, int]:
        """Number of entities of each kind in the project at the moment."""
        return self._counts.of(self.client.scope)

    @property
    def past(self) -> bool:
        """True if the visitor asked for a moment."""
        return self.as_of != ""

    @property
    def has_clocks(self) -> bool:
        """True if this page can be viewed by the producers' clocks."""
        return self.request.url.path not in BY_POSITION or self.clock == "occurred"

    @property
    def occurred_at(self) -> dt.datetime | None:
        """Time of the moment by the producers' clocks; None if the moment is an event."""
        occurred = self.client.scope.moment.occurred_us
        return None if occurred is None else utc(occurred)

    @property
    def latest_only(self) -> bool:
        """True if this page shows the latest state although the visitor asked for a moment."""
        return self.past and self.request.url.path in LATEST_ONLY

    @property
    def ages_until(self) -> dt.datetime | None:
        """Time that ages are relative to; None for now."""
        return (self.occurred_at or self.recorded_at) if self.past and not self.latest_only else None

    @functools.cached_property
    def recorded_at(self) -> dt.datetime | None:
        """Time of the event shown, by the log's clock."""
        return recorded_at(self.client.scope, self.position)

    @property
    def kept(self) -> dict[str, str]:
        """Parameters that links to this page keep."""
        return self.kept_for(self.request.url.path)

    def kept_for(self, path: str) -> dict[str, str]:
        """Return the parameters that links to a page keep."""
        kept: dict[str, str] = {}
        if self.client.project != self.home_project:
            kept["project"] = self.client.project
        # The position or time, not the phrase: "2h ago" must not mean another moment on the next page.
        if self.occurred_at is not None:
            kept["as_of"] = as_of_text(self.occurred_at)
            if path not in BY_POSITION:
                kept["clock"] = self.clock
        elif self.past:
            kept["as_of"] = str(min(self.client.scope.moment.position, NO_END))
        return kept

    def url(self, path: str, /, **params: ParamValue) -> str:
        """Return the address of a page at the same project and moment, or at an `as_of` by the log's clock."""
        return self._address(path, params)

    def _address(self, path: str, params: Mapping[str, ParamValue]) -> str:
        kept = self.kept_for(path)
        if "as_of" in params:
            kept.pop("clock", None)
        return address(path, kept, params)

    def here(self, **changes: ParamValue) -> str:
        """Return the address of this page with some parameters changed; None removes one."""
        params: dict[str, ParamValue] = {}
        for name, value in self.params.multi_items():
            if name not in ("as_of", "clock", "project"):
                params[name] = [*cast("list[str]", params.get(name, [])), value]
        return self._address(self.request.url.path, {**params, **changes})

    @property
    def form(self) -> list[tuple[str, str]]:
        """Parameters of this page for a form that leads to another moment."""
        return [(name, value) for name, value in self.params.multi_items() if name not in PAGE_ONLY]

    def text(self, name: str) -> str:
        """Return a parameter without surrounding whitespace; '' if it is missing."""
        return self.params.get(name, "").strip()

    def number(self, name: str, default: int, most: int = MAX_PAGE) -> int:
        """Return a parameter as an integer from 1 to `most`. Raises ArgumentError."""
        text = self.text(name)
        if not text:
            return default
        if not (text.isascii() and text.isdecimal()) or int(text[:12]) < 1:
            raise ArgumentError(f"{name} must be a whole number of at least 1, not {text[:40]!r}")
        return min(int(text[:12]), most)

    def position_before(self, name: str = "before") -> int | None:
        """Return the event that a page ends before; None for the newest page."""
        return self.number(name, 0, NO_END) or None

    # -- entities ------------------------------------------------------------------------------------

    def entity(self) -> Entity:
        """Return the entity of the parameter `ref` at the moment. Raises MissingEntityError."""
        return self.find_entity(self.text("ref"), self.client)

    def find_entity(self, reference: str, client: Client) -> Entity:
        """Return an entity; a run also by its name, its pipeline or a prefix of its ID. Raises MissingEntityError."""
        ref = parse_ref(reference)
        try:
            return _resolved(ref, client)
        except NotFoundError as error:
            if (later := self._later(ref, client)) is not None:
                raise later from error
            near = _near(client, ref.kind, ref.name)
            raise MissingEntityError(str(error), near) from error

    def _later(self, ref: EntityRef, client: Client) -> NotYetCreatedError | None:
        """Return an error if the entity was created after the moment of a client."""
        if client.scope.moment == NOW:
            return None
        try:
            entity = _resolved(ref, self.now).seen_at(client.scope.moment)
        except NotFoundError:
            return None
        if entity.known:
            return None  # it existed under another name: no version had the stage then
        first = first_version(self.now.scope, ref.kind, ref.name) if ref.version in (None, "latest") else None
        return NotYetCreatedError(ref, entity, entity.created_position if first is None else first)


def home_project(access: Access, project: str) -> str:
    """Return the project that a visitor sees who names none: the page's own, or the first of those he sees."""
    return project if access.projects is None or access.sees(project) else access.projects[0]


def _resolved(ref: EntityRef, client: Client) -> Entity:
    return client.get_pipeline_run(ref.name) if ref.kind == "run" else client.get(ref)


def as_of_text(when: dt.datetime) -> str:
    """Return a time as it is written in addresses, to the microsecond."""
    return when.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


class MissingEntityError(NotFoundError):
    """Raised for an entity that does not exist; `near`: references with similar names."""

    def __init__(self, text: str, near: list[str]) -> None:
        super().__init__(text)
        self.near = near


class NotYetCreatedError(MissingEntityError):
    """Raised for an entity created after the moment, by the event `created`; `entity`: it at the moment, empty."""

    def __init__(self, ref: EntityRef, entity: Entity, created: int) -> None:
        position, occurred = entity.moment
        when = f"as of event {position:,}" if occurred is None else f"at {utc(occurred):%Y-%m-%d %H:%M:%S} UTC"
        super().__init__(f"{ref} did not exist yet {when}; it was created by event {created:,}", [])
        self.reference, self.entity, self.when, self.created = str(ref), entity, when, created


def _near(client: Client, kind: str, name: str) -> list[str]:
    known: dict[str, str] = {}
    for entity in client.list_entities(kind, limit=200):
        known.setdefault(entity.name, entity.reference)
    return [known[found] for found in difflib.get_close_matches(name, known, 5, 0.5)]


def at_moment(client: Client, moment: Moment) -> Client:
    """Return a client of another moment that uses the same connections."""
    return _client(client, client.project, moment)


def _client(base: Client, project: str, moment: Moment) -> Client:
    # Times passed to a call (`since`) use the same clock as the moment.
    clock: Clock = "recorded" if moment.occurred_us is None else "occurred"
    return Client.over(replace(base.scope, project=project, moment=moment, clock=clock))
