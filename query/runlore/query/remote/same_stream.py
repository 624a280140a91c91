"""Whether a view is of the stream on the server: of another one, its answers would be about other events."""

from __future__ import annotations

from runlore.query.view.connection import ViewReader
from runlore.schemas.errors import RunloreError, ServerUnavailableError, StreamMismatchError
from runlore.wire.connect import Connection
from runlore.wire.epoch import stream_epoch


async def require_same_stream(connection: Connection, reader: ViewReader) -> None:
    """Return when the view is of this stream, or nobody here tells which one that is.

    Raises StreamMismatchError; ServerUnavailableError for a replica, which follows a stream that was replaced.
    """
    try:
        row = reader.one("SELECT epoch FROM view_state")
    except RunloreError:
        return  # such as a damaged view: who asks is told
    found = await stream_epoch(connection)
    if row is None or found is None or found == row[0]:
        return
    reason = (
        f"{reader.path} has the events of the stream {row[0]}, and the server that of {found}: no question is answered "
        "from another log"
    )
    if reader.data is not None and reader.data.replica.exists():
        raise ServerUnavailableError(f"{reason}; waiting for the replica to follow the new stream")
    raise StreamMismatchError(f"{reason}. Set --data-dir to the folder of this stream's projector, or RUNLORE_URL")
