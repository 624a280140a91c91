"""Templates: one environment, everything escaped, no inline script or style."""

from __future__ import annotations

import datetime as dt
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from runlore.dashboard.bundle import bundle_address
from runlore.dashboard.display import duration, number_text, show
from runlore.dashboard.drawing import spark_points
from runlore.dashboard.links import Value, address
from runlore.dashboard.texts import shortened, visible
from runlore.dashboard.visit import Visit
from runlore.query import Entity
from runlore.query.activity import projects
from runlore.query.page.timeline import Stops, stops
from runlore.schemas.paths import format_path

NAVIGATION = (("run", "Runs"), ("model", "Models"), ("artifact", "Artifacts"), ("step", "Steps"))


def age(when: dt.datetime | None, until: dt.datetime | None = None) -> str:
    """How long before a moment, now if not given, in one unit: 5 s, 12 min, 3 h, 9 d."""
    if when is None:
        return ""
    seconds = max(0, int(((until or dt.datetime.now(dt.UTC)) - when).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def short_reference(text: str) -> str:
    """A reference with the ID of its run cut to its end, which differs between runs made one after another."""
    kind, _, rest = text.partition(":")
    run, slash, step = rest.partition("/")
    if kind in ("run", "step") and len(run) > 20:
        return shortened(f"{kind}:…{run[-8:]}{slash}{step}", 80)
    return shortened(text, 80)


def utc_text(when: dt.datetime | None) -> str:
    """A time to the second, in UTC."""
    return "" if when is None else f"{when.astimezone(dt.UTC):%Y-%m-%d %H:%M:%S} UTC"


def iso_text(when: dt.datetime | None) -> str:
    """A time as a program reads it."""
    return "" if when is None else when.isoformat()


def key_path(key: str) -> str:
    """The path of a whole key."""
    return format_path((key,))


def plain_link(path: str, **params: Value) -> str:
    """An address that keeps nothing."""
    return address(path, {}, params)


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("runlore.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "show": show,
        "visible": visible,
        "shortened": shortened,
        "age": age,
        "duration": duration,
        "short_ref": short_reference,
        "utc": utc_text,
        "iso": iso_text,
        "number": number_text,
        "spark": spark_points,
        "path_text": key_path,
        "link": plain_link,
    }
    return made


_TEMPLATES = _environment()
MANY = 1000
"""Quarantined events that are counted for a page's foot."""


def render(visit: Visit, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page of the dashboard, with the frame around it."""
    frame = {
        "visit": visit,
        "url": visit.url,
        "here": visit.here,
        "navigation": NAVIGATION,
        "projects": projects(visit.now.scope),
        "lag": visit.now.lag,
        "quarantined": visit.client.quarantined(MANY),
        "many": MANY,
        "kind_shown": None,
        "plotly": bundle_address(),
        "entity": None,
        "stops": _stops(visit, values.get("entity")),
        "live": "",
    }
    return HTMLResponse(_TEMPLATES.get_template(template).render({**frame, **values}), status)


def _stops(visit: Visit, entity: Entity | None) -> Stops:
    """Where the slider and the steps beside it lead: events of the entity that a page is about, else of the log."""
    here = visit.position
    if visit.occurred_at is not None:
        return Stops(None, None, [])  # there is no position, and so neither of them
    if entity is None:
        return Stops(here - 1 if here > 1 else None, here + 1 if here < visit.head else None, [])
    return stops(entity, here)


def render_bare(template: str, code: int = 200, /, **values: Any) -> HTMLResponse:
    """A page without a client: an error before there is a view, or the login."""
    return HTMLResponse(
        _TEMPLATES.get_template(template).render({"url": plain_link, "navigation": NAVIGATION, **values}), code
    )
