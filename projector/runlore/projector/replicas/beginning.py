"""Where a replica's view begins: at the newest snapshot that fits, or at the first event of a stream that is whole."""

from __future__ import annotations

from typing import NamedTuple

from nats.aio.client import Client as NatsConnection

from runlore.projector.logs import get_log
from runlore.projector.replicas.incoming import NoRoomError, fetch_view
from runlore.projector.snapshots.shelf import Shelf, Stored, misfit
from runlore.projector.views.generations import next_path
from runlore.projector.views.view import View
from runlore.schemas.errors import AccessDeniedError, CorruptLogError, RunloreError
from runlore.store.folder import DataDir
from runlore.store.records import SnapshotInfo
from runlore.wire.objects import DamagedObjectError
from runlore.wire.stream import StreamInfo

_LISTED = 3


class NoSnapshotError(RunloreError):
    """There is nothing that a view could begin with."""


class Beginning(NamedTuple):
    """A new view, and the snapshot that it began with."""

    view: View
    snapshot: SnapshotInfo | None


async def new_view(connection: NatsConnection, data: DataDir, info: StreamInfo, beyond: int, verify: bool) -> Beginning:
    """A view of the stream, up to some event after `beyond`.

    A snapshot that is damaged is passed over for the one before it. Raises NoSnapshotError saying why none fits, and
    what else fails.
    """
    epoch, shelf, reasons = info.epoch or "", Shelf(connection), list[str]()
    for stored in await _candidates(shelf, epoch, beyond, reasons):
        megabytes = round(stored.info.size / 1e6, 1)
        get_log().info("fetching a snapshot", position=stored.snapshot.position, megabytes=megabytes)
        try:
            view = await fetch_view(data, stored, shelf.content(stored), verify)
        except NoRoomError as error:  # it may come; meanwhile a view that is there goes on
            raise NoSnapshotError(str(error)) from error
        except (DamagedObjectError, CorruptLogError) as error:
            get_log().error("a snapshot is not used", reason=str(error))
            reasons.append(str(error))
            continue
        get_log().info("the view begins with a snapshot", position=stored.snapshot.position)
        return Beginning(view, stored.snapshot)
    if beyond == 0 and _is_whole(info):
        get_log().warning("no snapshot fits: reading the stream from its first event", reasons=reasons[:_LISTED])
        return Beginning(View.create(next_path(data), epoch), None)
    told = "; ".join(reasons[:_LISTED]) or "there is none"
    raise NoSnapshotError(
        f"no snapshot to begin with after event {beyond:,}: {told}. `runlore operator snapshot` in the projector's "
        "folder stores one"
    )


async def newest(connection: NatsConnection, epoch: str) -> int:
    """The position of the newest snapshot that fits, 0 when there is none."""
    found = await _candidates(Shelf(connection), epoch, 0, [])
    return found[0].snapshot.position if found else 0


async def _candidates(shelf: Shelf, epoch: str, beyond: int, reasons: list[str]) -> list[Stored]:
    """The snapshots that fit, the newest first; why others do not is added to `reasons`."""
    try:
        found = await shelf.snapshots()
    except AccessDeniedError as error:
        reasons.append(str(error))
        return []
    fitting: list[Stored] = []
    for stored in found:
        if (reason := misfit(stored.snapshot, epoch)) is not None:
            reasons.append(f"{stored.label} is not used: {reason}")
        elif stored.snapshot.position > beyond:
            fitting.append(stored)
    return fitting


def _is_whole(info: StreamInfo) -> bool:
    return info.first_seq <= 1 and info.messages == info.last_seq
