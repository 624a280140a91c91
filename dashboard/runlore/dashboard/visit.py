"""One request: the project and the moment it looks at, and what of the past it keeps in every link."""

from __future__ import annotations

import datetime as dt
import difflib
import functools
from collections.abc import Mapping
from dataclasses import replace
from typing import cast

from starlette.requests import Request

from runlore.dashboard.links import Value, address
from runlore.query import Client, Entity
from runlore.query.activity import projects, recorded_at
from runlore.query.lookup import first_version
from runlore.query.page.counts import KindCounts
from runlore.query.time.moment import NO_END, NOW, Clock, Moment, check_clock, utc
from runlore.schemas.errors import InvalidReferenceError, NotFoundError
from runlore.schemas.references import EntityRef, parse_ref

MAX_PAGE = 500
"""Rows that one page or answer may have."""


PLACES = ("as_of", "clock", "after", "before", "from", "part")
"""Parameters that belong to one moment's page only."""

BY_POSITION = ("/", "/list", "/search", "/trail", "/event", "/payload", "/audit", "/quarantine")
"""Pages that go by positions, which the producers' clocks say nothing about: links to them go by the log's clock."""

LATEST_ONLY = ("/search", "/audit", "/checkpoint.txt", "/quarantine")
"""Pages that show the latest whatever the moment, which only their links keep."""


class Visit:
    """What a request asks for. `client` reads as of its moment, `now` the latest."""

    def __init__(self, request: Request, base: Client, counts: KindCounts) -> None:
        self._counts = counts
        self.request, self.params = request, request.query_params
        self.now = _client(base, self.params.get("project") or base.project, NOW)
        self.home_project = base.project
        if self.now.project != base.project and self.now.project not in (there := projects(self.now.scope)):
            raise NotFoundError(f"no project {self.now.project!r}; there are: {', '.join(there[:20])}")
        self.as_of = self.params.get("as_of", "").strip()
        self.clock: Clock = check_clock(cast(Clock, self.text("clock") or "recorded"))
        moment = self.now.moment_of(self.as_of, self.clock) if self.as_of else NOW
        self.client = _client(base, self.now.project, moment)
        self.head = self.now.position
        self.position = min(self.head, moment.position)

    @property
    def kinds(self) -> dict[str, int]:
        """How many entities of each kind the project had at the moment."""
        return self._counts.of(self.client.scope)

    @property
    def past(self) -> bool:
        """Whether it looks at an earlier moment."""
        return self.as_of != ""

    @property
    def has_clocks(self) -> bool:
        """Whether this page can be read by the producers' clocks."""
        return self.request.url.path not in BY_POSITION or self.clock == "occurred"

    @property
    def occurred_at(self) -> dt.datetime | None:
        """The time by the producers' clocks that is looked at; None where the log's clock decides."""
        occurred = self.client.scope.moment.occurred_us
        return None if occurred is None else utc(occurred)

    @property
    def latest_only(self) -> bool:
        """Whether the page shows the latest although an earlier moment is looked at."""
        return self.past and self.request.url.path in LATEST_ONLY

    @property
    def ages_until(self) -> dt.datetime | None:
        """The moment that ages count to; None for now."""
        return (self.occurred_at or self.recorded_at) if self.past and not self.latest_only else None

    @functools.cached_property
    def recorded_at(self) -> dt.datetime | None:
        """The log's clock at the position that is shown."""
        return recorded_at(self.client.scope, self.position)

    @property
    def kept(self) -> dict[str, str]:
        """Parameters that links to this very page carry on."""
        return self.kept_for(self.request.url.path)

    def kept_for(self, path: str) -> dict[str, str]:
        """Parameters that every link to a page carries on."""
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

    def url(self, path: str, /, **params: Value) -> str:
        """The address of a page at the same project and moment, or at an `as_of` by the log's clock."""
        return self._address(path, params)

    def _address(self, path: str, params: Mapping[str, Value]) -> str:
        kept = self.kept_for(path)
        if "as_of" in params:
            kept.pop("clock", None)
        return address(path, kept, params)

    def here(self, **changes: Value) -> str:
        """This page with some parameters changed; None removes one."""
        params: dict[str, Value] = {}
        for name, value in self.params.multi_items():
            if name not in ("as_of", "clock", "project"):
                params[name] = [*cast("list[str]", params.get(name, [])), value]
        return self._address(self.request.url.path, {**params, **changes})

    @property
    def form(self) -> list[tuple[str, str]]:
        """This page's parameters for a form that asks for another moment; places in pages mean nothing there."""
        return [(name, value) for name, value in self.params.multi_items() if name not in PLACES]

    def text(self, name: str) -> str:
        """A parameter without blanks around it, '' where it is absent."""
        return self.params.get(name, "").strip()

    def number(self, name: str, default: int, most: int = MAX_PAGE) -> int:
        """A whole number from 1 to `most`. Raises InvalidReferenceError."""
        text = self.text(name)
        if not text:
            return default
        if not (text.isascii() and text.isdecimal()) or int(text[:12]) < 1:
            raise InvalidReferenceError(f"{name} is a whole number, 1 or more, not {text[:40]!r}")
        return min(int(text[:12]), most)

    def position_before(self, name: str = "before") -> int | None:
        """A position that a page ends before, None for the newest page."""
        return self.number(name, 0, NO_END) or None

    # -- entities ------------------------------------------------------------------------------------

    def entity(self) -> Entity:
        """The entity that the parameter `ref` means at the moment. Raises NotFoundError with near names."""
        return self.find_entity(self.text("ref"), self.client)

    def find_entity(self, reference: str, client: Client) -> Entity:
        """An entity; a run also by its name, pipeline or the beginning of its ID."""
        ref = parse_ref(reference)
        try:
            return _resolved(ref, client)
        except NotFoundError as error:
            if (later := self._later(ref, client)) is not None:
                raise later from error
            near = _near(client, ref.kind, ref.name)
            raise MissingEntityError(str(error), near) from error

    def _later(self, ref: EntityRef, client: Client) -> NotThereYetError | None:
        """That an entity came later than the moment of a client, if so."""
        if client.scope.moment == NOW:
            return None
        try:
            entity = _resolved(ref, self.now).seen_at(client.scope.moment)
        except NotFoundError:
            return None
        if entity.known:
            return None  # it was there, but not by this name: a stage that nobody held
        first = first_version(self.now.scope, ref.kind, ref.name) if ref.version in (None, "latest") else None
        return NotThereYetError(ref, entity, entity.created_position if first is None else first)


def _resolved(ref: EntityRef, client: Client) -> Entity:
    return client.get_pipeline_run(ref.name) if ref.kind == "run" else client.get(ref)


def as_of_text(when: dt.datetime) -> str:
    """A time as an address says it, to the microsecond."""
    return when.astimezone(dt.UTC).isoformat().replace("+00:00", "Z")


class MissingEntityError(NotFoundError):
    """No such entity; `near` are references of some that are called alike."""

    def __init__(self, text: str, near: list[str]) -> None:
        super().__init__(text)
        self.near = near


class NotThereYetError(MissingEntityError):
    """The entity came after the moment; `entity` is what that moment sees of it: nothing."""

    def __init__(self, ref: EntityRef, entity: Entity, came: int) -> None:
        position, occurred = entity.moment
        when = f"position {position:,}" if occurred is None else f"{utc(occurred):%Y-%m-%d %H:%M:%S} UTC"
        super().__init__(f"{ref} was not there yet at {when}: it came at position {came:,}", [])
        self.reference, self.entity, self.when, self.came = str(ref), entity, when, came


def _near(client: Client, kind: str, name: str) -> list[str]:
    known: dict[str, str] = {}
    for entity in client.list_entities(kind, limit=200):
        known.setdefault(entity.name, entity.reference)
    return [known[found] for found in difflib.get_close_matches(name, known, 5, 0.5)]


def at_moment(client: Client, moment: Moment) -> Client:
    """A client of another moment, over the same connections."""
    return _client(client, client.project, moment)


def _client(base: Client, project: str, moment: Moment) -> Client:
    # Times that a call is given (`since`) go by the same clock as the moment.
    clock: Clock = "recorded" if moment.occurred_us is None else "occurred"
    return Client.over(replace(base.scope, project=project, moment=moment, clock=clock))
