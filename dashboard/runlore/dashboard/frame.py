"""The frame around a page: header, time travel, banner and footer, computed here so that templates only show it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import NamedTuple

from runlore.dashboard.links import address
from runlore.dashboard.shared_log import count_quarantined
from runlore.dashboard.texts import counted
from runlore.dashboard.visit import Visit
from runlore.query import Entity
from runlore.query.page.timeline import Stops, stops

KINDS = (("run", "Runs"), ("model", "Models"), ("artifact", "Artifacts"), ("step", "Steps"))
EVENT_PAGES = ("/trail", "/event", "/audit", "/quarantine")
"""Pages under "Events" in the navigation, unless they are about an entity."""
MANY = 1000
"""Quarantined events that are counted for the footer."""


class NavigationItem(NamedTuple):
    """One link of the navigation."""

    title: str
    href: str
    current: bool = False


class Header(NamedTuple):
    """The top of a page. A page without data (an error, the login) has one project or none."""

    home: str
    navigation: list[NavigationItem]
    query: str
    """Text in the search box."""
    search_hidden: list[tuple[str, str]]
    """Parameters that a search keeps."""
    projects: list[str]
    project: str
    signed_in: bool
    """True if the visitor can sign out."""


class Slider(NamedTuple):
    """The range input: over the events of an entity in `stops`, else over all events of the log."""

    label: str
    lowest: int
    highest: int
    value: int
    stops: str
    """Event numbers separated by spaces, '' for the whole log."""


class MomentForm(NamedTuple):
    """The time travel bar. `event` is None where the producers' clocks decide: there is only a time then."""

    path: str
    hidden: list[tuple[str, str]]
    state: str
    past: bool
    event: int | None
    of: int | None
    """The newest event, where it is not the one shown."""
    time: dt.datetime | None
    slider: Slider | None
    before: str | None
    """The address of the page one event earlier."""
    after: str | None
    as_of: str
    clocks: bool
    """True if the visitor can choose a clock."""
    occurred: bool
    now: str | None
    """The address of the page as of now, None where it is that page already."""


class Banner(NamedTuple):
    """A sentence above a page of the past: text, moment, text, link."""

    lead: str
    event: int | None
    time: dt.datetime | None
    text: str
    href: str | None = None
    link: str = ""


class Frame(NamedTuple):
    """Everything around the content of a page."""

    header: Header
    moment: MomentForm
    banner: Banner | None
    project: str | None
    """The project of the page where it is not the server's own."""
    position: int
    head: int
    printed: str
    lag: str
    quarantined: str
    """The number of quarantined events, '' for none."""


def frame_of(visit: Visit, entity: Entity | None, kind: str | None) -> Frame:
    """Return the frame of a page about an entity, about a kind, or about the whole project."""
    project, quarantined = visit.client.project, count_quarantined(visit, MANY)
    return Frame(
        header=_header(visit, kind),
        moment=_moment_form(visit, _stops(visit, entity)),
        banner=_banner(visit, entity, kind),
        project=project if project != visit.server_project else None,
        position=visit.position,
        head=visit.head,
        printed=_printed(visit),
        lag=lag_text(visit.now.lag),
        quarantined=f"{quarantined:,}{'+' if quarantined == MANY else ''}" if quarantined else "",
    )


def bare_header() -> Header:
    """Return the header of a page without data: nothing is searched for or kept."""
    navigation = [
        *(NavigationItem(title, address("/list", {}, {"kind": kind})) for kind, title in KINDS),
        NavigationItem("Compare", "/compare"),
        NavigationItem("Events", "/trail"),
    ]
    return Header("/", navigation, "", [], [], "", signed_in=False)


def lag_text(lag: int | None) -> str:
    """Return how far the view is behind the stream (live.js says the same)."""
    if lag is None:
        return "projector not responding"
    return f"{counted(lag, 'event')} behind" if lag else "up to date"


def utc_text(when: dt.datetime | None) -> str:
    """Return a time to the second, in UTC; '' for None."""
    return "" if when is None else f"{when.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


def _header(visit: Visit, kind: str | None) -> Header:
    path = visit.request.url.path
    navigation = [
        *(NavigationItem(title, visit.url("/list", kind=name), name == kind) for name, title in KINDS),
        NavigationItem("Compare", visit.url("/compare"), path == "/compare"),
        NavigationItem("Events", visit.url("/trail"), kind is None and path in EVENT_PAGES),
    ]
    known = visit.projects
    return Header(
        visit.url("/"),
        navigation,
        visit.params.get("q", ""),
        [*visit.kept_for("/search").items()],
        known if len(known) > 1 else [],
        visit.client.project,
        visit.access.session,
    )


def _stops(visit: Visit, entity: Entity | None) -> Stops:
    """Return the events that slider and step links lead to: those of an entity, else those of the log."""
    here = visit.position
    if visit.occurred_at is not None:
        return Stops(None, None, [])  # a time by the producers' clocks has no event
    if entity is None:
        return Stops(here - 1 if here > 1 else None, here + 1 if here < visit.head else None, [])
    return stops(entity, here)


def _moment_form(visit: Visit, near: Stops) -> MomentForm:
    occurred = visit.occurred_at
    return MomentForm(
        path=visit.request.url.path,
        hidden=visit.form,
        state=("Latest" if visit.latest_only else "As of") if visit.past else "Now",
        past=visit.past,
        event=visit.position if occurred is None else None,
        of=visit.head if visit.past and visit.position < visit.head else None,
        time=visit.recorded_at if occurred is None else occurred,
        slider=_slider(visit, near.spread),
        before=_at_event(visit, near.before),
        after=_at_event(visit, near.after if visit.past else None),
        as_of=visit.as_of,
        clocks=visit.has_clocks,
        occurred=visit.clock == "occurred",
        now=visit.here(as_of=None, after=None, before=None) if visit.past else None,
    )


def _slider(visit: Visit, spread: Sequence[int]) -> Slider | None:
    if visit.occurred_at is not None or (len(spread) if spread else visit.head) < 2:
        return None
    if spread:
        return Slider("Events of this entity", 0, len(spread) - 1, 0, " ".join(map(str, spread)))
    return Slider("Events of the log", 1, visit.head, visit.position, "")


def _at_event(visit: Visit, position: int | None) -> str | None:
    return None if position is None else visit.here(as_of=position, after=None, before=None)


def _banner(visit: Visit, entity: Entity | None, kind: str | None) -> Banner | None:
    if not visit.past:
        return None
    occurred = visit.occurred_at
    event, time = (visit.position, visit.recorded_at) if occurred is None else (None, occurred)
    if visit.latest_only:
        return Banner("This page always shows the latest state. Its links go to the state as of", event, time, ".")
    if occurred is not None:
        return Banner(
            "You are viewing the state at", None, occurred,
            " by the producers' clocks, as far as it is known today; events that arrive late can still change it."
            " Lists, search and events can only be viewed",
            visit.url("/list", kind=kind), "by the log's clock",
        )  # fmt: skip
    lead, since = "You are viewing the state as of", visit.head - visit.position
    if not since:
        return Banner(lead, event, time, ". No events since then.")
    # Back to now, where all of these events can be seen.
    href = visit.url("/trail", as_of=None, ref=entity.reference if entity else None, since=visit.position)
    return Banner(lead, event, time, f". {counted(since, 'event')} since then:", href, "show changes")


def _printed(visit: Visit) -> str:
    """Return the line that only paper shows."""
    position = visit.head if visit.latest_only else visit.position
    when = "" if visit.latest_only else utc_text(visit.recorded_at)
    return f"Runlore, project {visit.client.project[:60]}, as of event {position:,}" + (f", {when}" if when else "")
