"""The stream of a server that is not ours: backed up, deleted, and restored through JetStream's own API."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, TypeVar

import msgspec
from nats.aio.client import Client as NatsConnection
from nats.aio.msg import Msg

from runlore.projector.restoring.restore import RestorePlan
from runlore.schemas.errors import AccessDeniedError, NotFoundError, RunloreError, ServerUnavailableError
from runlore.schemas.settings import Settings
from runlore.store.ownership import write_to
from runlore.wire.api import ApiError, api, listen, shard_of
from runlore.wire.connect import connect
from runlore.wire.failures import NatsError, unavailable
from runlore.wire.stream import stream_config, stream_info

CHUNK_BYTES = 128 * 1024
CHUNK_SECONDS = 30.0
HELD_SUBJECT = "runlore-is-being-restored"
"""Subject of the stream while it is exchanged: nobody sends to it."""

Result = TypeVar("Result")


def ask(settings: Settings, work: Callable[[NatsConnection], Awaitable[Result]]) -> Result:
    """Run `work` over one connection. Raises ServerUnavailableError when there is none."""

    async def run() -> Result:
        connection = await connect(settings, "runlore stream", _ignore, _closed)
        try:
            return await work(connection)
        finally:
            await connection.close()

    return asyncio.run(run())


class RemoteStream:
    """The stream at RUNLORE_URL. Its user needs the rights to update, delete and restore it."""

    def __init__(self, settings: Settings, folder: Path) -> None:
        self._settings, self._folder = settings, folder

    def replace(self, private: Settings, plan: RestorePlan) -> Path:
        """Put the stream of a private server in the place of the one there; the backup of what was there.

        Raises ServerUnavailableError when the user may not, or the stream has grown since the plan was made: nothing
        is changed then.
        """
        new, old = self._folder / "restore" / "new.snapshot", self._folder / f"stream.before-restore-{_now()}.snapshot"
        ask(private, lambda connection: _save(connection, new))
        old.touch(0o600)  # stays empty when there is no stream
        ask(self._settings, lambda connection: self._put(connection, new, old, plan))
        return old

    async def _put(self, connection: NatsConnection, new: Path, old: Path, plan: RestorePlan) -> None:
        config = stream_config(plan.epoch, self._settings.replicas or 1, shard_of(connection))
        try:
            info = await stream_info(connection)
        except NotFoundError:
            await _require_rights(connection, "RESTORE")
        else:
            await _require_rights(connection, "RESTORE", "UPDATE", "DELETE")
            config |= {kept: info.config[kept] for kept in ("num_replicas", "max_bytes")}
            await _hold(connection, info.config, plan.stream_last)
            await _save(connection, old)
            await api(connection, f"STREAM.DELETE.{shard_of(connection).stream}")
        await _load(connection, new, config)


async def _hold(connection: NatsConnection, config: dict[str, Any], last: int) -> None:
    """Keep new events away (their producers wait), so that none is acknowledged by the stream that goes."""
    update = f"STREAM.UPDATE.{shard_of(connection).stream}"
    await api(connection, update, config | {"subjects": [HELD_SUBJECT]})
    if (await stream_info(connection)).last_seq != last:
        await api(connection, update, config)
        raise ServerUnavailableError(
            "events arrived since the stream was read: stop the producers, and run it again. Nothing was changed"
        )


async def _require_rights(connection: NatsConnection, *requests: str) -> None:
    """Ask for each in a way that is refused for its form: a user who may not ask gets no answer at all."""
    for request in requests:
        try:
            await api(connection, f"STREAM.{request}.{shard_of(connection).stream}", {"not": "a request"})
        except ApiError:
            continue
        except AccessDeniedError as error:
            raise AccessDeniedError(
                f"{error}. A restore updates, deletes and restores the stream: give credentials of a user who may "
                f"(RUNLORE_CREDENTIALS, or a user in RUNLORE_URL). Nothing was changed"
            ) from error
        raise RunloreError(f"the server took a form of STREAM.{request} that it should refuse: report its version")


async def _save(connection: NatsConnection, path: Path) -> None:
    """Write the server's own backup of the stream into a file."""
    inbox = connection.new_inbox()
    chunks: asyncio.Queue[Msg] = asyncio.Queue()

    async def take(message: Msg) -> None:
        chunks.put_nowait(message)

    subscription = await listen(connection, inbox, take)
    body = {"deliver_subject": inbox, "chunk_size": CHUNK_BYTES, "no_consumers": True}
    await api(connection, f"STREAM.SNAPSHOT.{shard_of(connection).stream}", body)
    with write_to(path) as file:
        while (chunk := await asyncio.wait_for(chunks.get(), CHUNK_SECONDS)).data:
            file.write(chunk.data)
            if chunk.reply:
                await connection.publish(chunk.reply, b"")
    if (chunk.headers or {}).get("Status", "204") not in ("", "204"):
        raise ServerUnavailableError(f"the server did not finish the backup: {chunk.headers}")
    await subscription.unsubscribe()


async def _load(connection: NatsConnection, path: Path, config: dict[str, Any]) -> None:
    """Have the server restore a stream from its backup."""
    body = {"config": config, "state": {}}
    target = (await api(connection, f"STREAM.RESTORE.{shard_of(connection).stream}", body))["deliver_subject"]
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            _heed(await _asked(connection, target, chunk))
    _heed(await _asked(connection, target, b""))


async def _asked(connection: NatsConnection, subject: str, data: bytes) -> bytes:
    try:
        return (await connection.request(subject, data, timeout=CHUNK_SECONDS)).data
    except NatsError as error:
        again = "; run `runlore stream restore --apply` again"
        raise unavailable(error, "the server stopped the restore", again) from error


def _heed(answer: bytes) -> None:
    error = msgspec.json.decode(answer).get("error") if answer else None
    if error is not None:
        raise RunloreError(f"the server refuses the restored stream: {error.get('description')}. Its backup is kept")


def _now() -> str:
    return dt.datetime.now(dt.UTC).strftime("%Y%m%dT%H%M%SZ")


async def _ignore(error: Exception) -> None:
    """Ignore it: the request itself raises what fails."""


async def _closed() -> None:
    """We close it ourselves."""
