"""The projector: archives the stream into log.db and folds it into views.

Names are imported when they are used, so that what needs one part (the stream's checks in `runlore doctor`, a bundle's
in `runlore audit check`) needs only the packages of that part.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runlore.projector.archiving.archive import ArchiveReader
    from runlore.projector.archiving.archived_stream import open_stream
    from runlore.projector.fold import Projection, Recorded, on
    from runlore.projector.replicas.replica import run_replica
    from runlore.projector.service import run_projector
    from runlore.projector.views.follow import follow
    from runlore.projector.views.rebuild import rebuild_view
    from runlore.wire.stream import ensure_stream, stream_drift, stream_info

_MODULES = {
    "ArchiveReader": "runlore.projector.archiving.archive",
    "Projection": "runlore.projector.fold",
    "Recorded": "runlore.projector.fold",
    "ensure_stream": "runlore.wire.stream",
    "follow": "runlore.projector.views.follow",
    "on": "runlore.projector.fold",
    "open_stream": "runlore.projector.archiving.archived_stream",
    "rebuild_view": "runlore.projector.views.rebuild",
    "run_projector": "runlore.projector.service",
    "run_replica": "runlore.projector.replicas.replica",
    "stream_drift": "runlore.wire.stream",
    "stream_info": "runlore.wire.stream",
}

__all__ = [
    "ArchiveReader",
    "Projection",
    "Recorded",
    "ensure_stream",
    "follow",
    "on",
    "open_stream",
    "rebuild_view",
    "run_projector",
    "run_replica",
    "stream_drift",
    "stream_info",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
