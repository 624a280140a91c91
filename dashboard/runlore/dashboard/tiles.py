"""The log for monitors and foreign verifiers: C2SP tlog-tiles, behind the same tokens as the pages."""

from __future__ import annotations

from collections.abc import Callable

from starlette.responses import Response

from runlore.dashboard.visit import Visit
from runlore.query.tiles import checkpoint_note, entry_bundle, hash_tile
from runlore.schemas.errors import NotFoundError

_FOR_GOOD = {"Cache-Control": "private, max-age=31536000, immutable"}
"""What a tile holds never changes; who may read it does."""


def checkpoint(visit: Visit) -> Response:
    """Answer with the newest checkpoint."""
    return Response(checkpoint_note(visit.now.scope), media_type="text/plain")


def tile(visit: Visit) -> Response:
    """Answer with hashes of the tree."""
    level, address = visit.request.path_params["level"], visit.request.path_params["address"]
    return _answer(hash_tile(visit.now.scope, level, address))


def entries(visit: Visit) -> Response:
    """Answer with entries, which name entities of all projects: for who sees all."""
    if not visit.access.whole:
        raise NotFoundError("entries are of all projects, and your token shows some")
    return _answer(entry_bundle(visit.now.scope, visit.request.path_params["address"]))


def _answer(content: bytes) -> Response:
    return Response(content, media_type="application/octet-stream", headers=_FOR_GOOD)


TILES: dict[str, Callable[[Visit], Response]] = {
    "/checkpoint": checkpoint,
    "/tile/entries/{address:path}": entries,
    "/tile/{level:int}/{address:path}": tile,
}
"""Paths below the prefix that is the page's own address."""
