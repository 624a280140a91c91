"""A projector's folder with a stream, and replicas of it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
from nats.aio.client import Client as NatsConnection

from runlore.projector.replicas.replica import Replica
from runlore.projector.snapshots.shelf import Shelf, Stored
from runlore.projector.views.digest import view_digest
from runlore.schemas import Settings, read_settings
from runlore.schemas.subjects import STREAM_NAME
from runlore.store.folder import DataDir
from runlore.store.log_rows import LogRow
from runlore.store.records import SnapshotInfo
from runlore.wire.objects import Bucket
from runlore.wire.stream import DUPLICATE_WINDOW_NS
from tests.open_servers import js
from tests.projector.nats_tools import publish_all, until, with_nats
from tests.projector.service_tools import Running, running


@contextlib.contextmanager
def replica(settings: Settings, root: Path, verify: bool = False) -> Iterator[Running]:
    """A replica in a thread, in a folder of its own."""
    with running(settings, Replica(replica_settings(settings, root), verify)) as service:
        yield service


def replica_settings(settings: Settings, root: Path) -> Settings:
    return read_settings(url=settings.url, data_dir=root / "replica")


def log(settings: Settings, rows: Sequence[LogRow]) -> int:
    """Let a projector archive and fold these events; the position after them."""
    with running(settings) as service:
        until(lambda: service.state.connected or service.error)
        last = publish_all(settings, rows)
        service.folded(last)
    return last


def digest(settings: Settings) -> dict[str, str]:
    return view_digest(DataDir(settings.data_dir).current_view())


def stored(settings: Settings) -> list[Stored]:
    """The snapshots in the bucket, the newest first."""
    return with_nats(settings, lambda connection: Shelf(connection).snapshots())


def content(settings: Settings) -> list[bytes]:
    """The newest snapshot as it is stored."""

    async def read(connection: NatsConnection) -> list[bytes]:
        shelf = Shelf(connection)
        return [chunk async for chunk in shelf.content((await shelf.snapshots())[0])]

    return with_nats(settings, read)


def positions(settings: Settings) -> list[int]:
    return [one.snapshot.position for one in stored(settings)]


def put_altered(settings: Settings, **changes: Any) -> None:
    """Store a snapshot once more, with another description."""

    async def put(connection: NatsConnection) -> None:
        shelf = Shelf(connection)
        one = next(one for one in await shelf.snapshots() if is_genuine(one))
        content = [chunk async for chunk in shelf.content(one)]
        altered: SnapshotInfo = msgspec.structs.replace(one.snapshot, **changes)
        bucket = Bucket(connection, one.info.bucket)
        key = next(iter(one.info.metadata))
        await bucket.put(f"altered-{altered.position}", content, {key: msgspec.json.encode(altered).decode()})

    with_nats(settings, put)


def is_genuine(one: Stored) -> bool:
    """Return whether it is as the projector stored it."""
    return one.info.name.startswith("view-")


def damage(settings: Settings, one: Stored, part: bytes | None) -> None:
    """Replace the content of a snapshot by other bytes; None: remove it."""

    async def spoil(connection: NatsConnection) -> None:
        chunks = f"$O.{one.info.bucket}.C.{one.info.nuid}"
        await js(connection, f"STREAM.PURGE.OBJ_{one.info.bucket}", {"filter": chunks})
        if part is not None:
            await connection.request(chunks, part, timeout=60)

    with_nats(settings, spoil)


async def reconfigure(connection: NatsConnection, **changes: Any) -> None:
    """Change the stream's configuration, as an administrator could."""
    config = (await js(connection, f"STREAM.INFO.{STREAM_NAME}"))["config"]
    answer = await js(connection, f"STREAM.UPDATE.{STREAM_NAME}", config | changes)
    assert "error" not in answer, answer


def drop_all_but(settings: Settings, last: int) -> None:
    """Let the stream lose its oldest messages, and be configured as before."""

    async def drop(connection: NatsConnection) -> None:
        await reconfigure(connection, max_msgs=last, discard="old")
        await reconfigure(connection, max_msgs=-1, discard="new")

    with_nats(settings, drop)


def store_again(settings: Settings, rows: Sequence[LogRow]) -> None:
    """Let the stream store messages whose IDs it has, as it does once they have left its dedupe window."""

    async def again(connection: NatsConnection, row: LogRow) -> bool:
        headers = {"Nats-Msg-Id": row.event_id or ""}
        return not (await connection.jetstream().publish(row.subject, row.payload, headers=headers)).duplicate

    with_nats(settings, lambda connection: reconfigure(connection, duplicate_window=100_000_000))
    for row in rows:
        until(lambda row=row: with_nats(settings, lambda connection: again(connection, row)))  # type: ignore[misc]
    with_nats(settings, lambda connection: reconfigure(connection, duplicate_window=DUPLICATE_WINDOW_NS))
