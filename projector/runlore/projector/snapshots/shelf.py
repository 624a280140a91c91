"""The bucket with the snapshots: which there are, and which of them fits."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Iterable
from typing import NamedTuple

import msgspec
from nats.aio.client import Client as NatsConnection

from runlore.projector.fold import FOLD_VERSION
from runlore.store.records import SnapshotInfo
from runlore.store.view_tables import VIEW_SCHEMA
from runlore.wire.api import shard_of
from runlore.wire.objects import Bucket, ObjectInfo

KEEP = 2
"""Snapshots that are kept: the one before, for readers that are fetching it, and where the newest is damaged."""

FORMAT = 1
_KEY = "runlore.snapshot"


class Stored(NamedTuple):
    """One snapshot in the bucket."""

    snapshot: SnapshotInfo
    info: ObjectInfo

    @property
    def label(self) -> str:
        """What a person calls it."""
        return f"the snapshot at event {self.snapshot.position:,}"


class Shelf:
    """The snapshots of one stream, over one connection.

    Methods raise AccessDeniedError, ServerUnavailableError, and ApiError where JetStream refuses.
    """

    def __init__(self, connection: NatsConnection) -> None:
        self._bucket = Bucket(connection, shard_of(connection).snapshot_bucket)

    async def snapshots(self) -> list[Stored]:
        """Everything in the bucket that describes itself as a snapshot, the newest first."""
        found: list[Stored] = []
        for info in await self._bucket.objects():
            with contextlib.suppress(KeyError, msgspec.MsgspecError):  # another program's, or of a later format
                found.append(Stored(msgspec.json.decode(info.metadata[_KEY], type=SnapshotInfo), info))
        return sorted(found, key=lambda one: one.snapshot.position, reverse=True)

    async def put(self, snapshot: SnapshotInfo, content: Iterable[bytes], replicas: int) -> ObjectInfo:
        """Store a snapshot, and remove those before an erasure, and all but the newest of its stream and version."""
        await self._bucket.make(replicas)
        name = f"view-{snapshot.position:012d}-v{snapshot.view_schema}.{snapshot.fold_version}.db.gz"
        info = await self._bucket.put(name, content, {_KEY: msgspec.json.encode(snapshot).decode()})
        kept = 0
        for stored in await self.snapshots():
            kept += (fits := misfit(stored.snapshot, snapshot.epoch) is None)
            if not fits or kept > KEEP or stored.snapshot.erased != snapshot.erased:
                await self._bucket.remove(stored.info)
        await self._bucket.remove_abandoned()
        return info

    def content(self, stored: Stored) -> AsyncIterator[bytes]:
        """The compressed view. Raises DamagedObjectError at its end."""
        return self._bucket.content(stored.info)


def misfit(snapshot: SnapshotInfo, epoch: str) -> str | None:
    """Return why a snapshot does not fit this version and a stream of this epoch; None when it does."""
    if snapshot.format != FORMAT:
        return f"it has format {snapshot.format}, this version reads {FORMAT}"
    if snapshot.epoch != epoch:
        return f"it belongs to another stream (epoch {snapshot.epoch})"
    made_by = (snapshot.view_schema, snapshot.fold_version)
    if made_by != (VIEW_SCHEMA, FOLD_VERSION):
        return (
            f"it was made by another version ({snapshot.library}: view {made_by[0]}, fold {made_by[1]}; here "
            f"{VIEW_SCHEMA}, {FOLD_VERSION}): use the same version of runlore for projector and replica"
        )
    return None
