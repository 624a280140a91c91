"""Templates: one environment, everything escaped, no inline script or style."""

from __future__ import annotations

import datetime as dt
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.responses import HTMLResponse

from runlore.dashboard.bundle import bundle_address
from runlore.dashboard.display import duration, number_text, show
from runlore.dashboard.drawing import spark_points
from runlore.dashboard.frame import bare_header, frame_of, utc_text
from runlore.dashboard.links import ParamValue, address
from runlore.dashboard.texts import counted, plural, short_reference, shortened
from runlore.dashboard.visible_html import visible_html
from runlore.dashboard.visit import Visit
from runlore.query.find.literals import quoted
from runlore.schemas.paths import format_path
from runlore.schemas.visible import visible
from runlore.store.cells import readable


def age(when: dt.datetime | None, until: dt.datetime | None = None) -> str:
    """Return the time from `when` until a moment, by default now, in one unit: 5 s, 12 min, 3 h, 9 d."""
    if when is None:
        return ""
    seconds = max(0, int(((until or dt.datetime.now(dt.UTC)) - when).total_seconds()))
    for unit, size in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def iso_text(when: dt.datetime | None) -> str:
    """Return a time in ISO 8601; '' for None."""
    return "" if when is None else when.isoformat()


def number_with_commas(value: int) -> str:
    """Return an integer with thousands separators."""
    return f"{value:,}"


def key_path(key: str) -> str:
    """Return the path of a whole key."""
    return format_path((key,))


def plain_link(path: str, **params: ParamValue) -> str:
    """Return an address with the given parameters only."""
    return address(path, {}, params)


FILTERS: dict[str, Any] = {
    "show": show,
    "visible": visible,
    "readable": readable,
    "shortened": shortened,
    "age": age,
    "duration": duration,
    "short_ref": short_reference,
    "utc": utc_text,
    "iso": iso_text,
    "number": number_text,
    "commas": number_with_commas,
    "quoted": quoted,
    "counted": counted,
    "plural": plural,
    "spark": spark_points,
    "path_text": key_path,
    "link": plain_link,
}


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("runlore.dashboard"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters.update(FILTERS)
    return made


_TEMPLATES = _environment()


def render(visit: Visit, template: str, status: int = 200, **values: Any) -> HTMLResponse:
    """Return a page of the dashboard with its frame.

    `entity` and `kind_shown` in `values`: what the page is about. `follows`: what makes it reload, a reference, ``*``
    for every event, '' for nothing, None for a page without live updates.
    """
    frame = frame_of(visit, values.get("entity"), values.get("kind_shown"))
    page: dict[str, Any] = {
        "visit": visit,
        "url": visit.url,
        "here": visit.here,
        "frame": frame,
        "header": frame.header,
        "plotly": bundle_address(),
        "kind_shown": None,
        "entity": None,
        "follows": "",
    }
    return HTMLResponse(visible_html(_TEMPLATES.get_template(template).render({**page, **values})), status)


def render_bare(template: str, code: int = 200, /, **values: Any) -> HTMLResponse:
    """Return a page that needs no view: an error before there is one, or the login."""
    page = {"url": plain_link, "header": bare_header()}
    return HTMLResponse(visible_html(_TEMPLATES.get_template(template).render({**page, **values})), code)
