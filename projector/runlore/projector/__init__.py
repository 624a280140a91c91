"""The projector: archives the stream into log.db and folds it into views."""

from runlore.projector.archiving.archive import ArchiveReader
from runlore.projector.archiving.archived_stream import open_stream
from runlore.projector.fold import Projection, Recorded, on
from runlore.projector.service import run_projector
from runlore.projector.views.follow import follow
from runlore.projector.views.rebuild import rebuild_view
from runlore.wire.stream import ensure_stream, stream_drift, stream_info

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
    "stream_drift",
    "stream_info",
]
