"""Pages by path: each module answers a few paths from a visit."""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response

from runlore.dashboard.pages.compare import compare, export_csv, export_json
from runlore.dashboard.pages.entity import copy_text, entity
from runlore.dashboard.pages.evidence import audit, checkpoint, event, payload
from runlore.dashboard.pages.history import history
from runlore.dashboard.pages.home import home
from runlore.dashboard.pages.lineage import lineage
from runlore.dashboard.pages.lists import entities
from runlore.dashboard.pages.search import search
from runlore.dashboard.pages.trail import quarantine, trail
from runlore.dashboard.visit import Visit

SHOWN = frozenset({"/", "/list", "/entity", "/history", "/compare", "/lineage", "/trail", "/search", "/event"})
"""Pages for people, which do not decode the largest values. All else, the API included, is exact."""

PAGES: dict[str, Callable[[Visit], Response]] = {
    "/": home,
    "/list": entities,
    "/entity": entity,
    "/copy": copy_text,
    "/history": history,
    "/lineage": lineage,
    "/compare": compare,
    "/compare.csv": export_csv,
    "/compare.json": export_json,
    "/trail": trail,
    "/event": event,
    "/payload": payload,
    "/audit": audit,
    "/checkpoint.txt": checkpoint,
    "/quarantine": quarantine,
    "/search": search,
}
