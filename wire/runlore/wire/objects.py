"""A bucket of NATS's object store: a stream with the chunks of each object and a message that describes it.

Names and messages are those of NATS's own clients (ADR-20), so that `nats object ls` shows what is there. The
description is written last: what was cut short before has none, and is no object.
"""

from __future__ import annotations

import base64
import contextlib
import datetime as dt
import hashlib
from collections.abc import AsyncIterator, Iterable

import msgspec
from nats.aio.client import Client as NatsConnection

from runlore.schemas.errors import AccessDeniedError, NotFoundError, RunloreError, ServerUnavailableError
from runlore.schemas.ids import new_id
from runlore.wire.api import API_TIMEOUT, ApiError, api, request
from runlore.wire.direct_get import DirectMessage, direct_get
from runlore.wire.failures import NatsError, unavailable

CHUNK_BYTES = 128 * 1024
ASK_CHUNKS = 64
ASK_BYTES = 8 * 1024 * 1024
"""Of one request for chunks."""

ABANDONED = dt.timedelta(hours=1)
"""Chunks without a description that are younger than this may still get one."""

_MOST_OBJECTS = 1_000
_NOT_FOUND, _NAME_IN_USE = 10059, 10058


class Options(msgspec.Struct, frozen=True):
    """How an object was stored."""

    max_chunk_size: int = CHUNK_BYTES


class ObjectInfo(msgspec.Struct, frozen=True, kw_only=True):
    """The description of one object, as NATS's clients write it."""

    name: str
    bucket: str
    nuid: str
    """Of its chunks."""
    size: int
    chunks: int
    digest: str
    """``SHA-256=`` and base64url of what was stored."""
    mtime: str = ""
    deleted: bool = False
    metadata: dict[str, str] = {}
    options: Options = Options()


class DamagedObjectError(RunloreError):
    """What the bucket holds of an object is not what was put into it."""


class Bucket:
    """One bucket, over one connection."""

    def __init__(self, connection: NatsConnection, name: str) -> None:
        self._connection, self.name = connection, name
        self.stream = f"OBJ_{name}"

    async def make(self, replicas: int) -> None:
        """Make the bucket unless it is there. Raises ApiError, AccessDeniedError, ServerUnavailableError."""
        try:
            await api(self._connection, f"STREAM.INFO.{self.stream}")
        except ApiError as error:
            if error.err_code != _NOT_FOUND:
                raise
            await self._create(replicas)

    async def _create(self, replicas: int) -> None:
        config = {
            "name": self.stream,
            "subjects": [self._chunks(">"), self._meta(">")],
            "storage": "file",
            "retention": "limits",
            "discard": "new",
            "num_replicas": replicas,
            "allow_rollup_hdrs": True,
            "allow_direct": True,
        }
        try:
            await api(self._connection, f"STREAM.CREATE.{self.stream}", config)
        except ApiError as error:
            if error.err_code != _NAME_IN_USE:  # somebody else made it meanwhile
                raise

    async def objects(self) -> list[ObjectInfo]:
        """What is in the bucket; nothing where there is no bucket. Raises AccessDeniedError, ServerUnavailableError."""
        query = {"multi_last": [self._meta(">")], "batch": _MOST_OBJECTS}
        try:
            found = await direct_get(self._connection, self.stream, query)
        except NotFoundError:
            return []
        infos: list[ObjectInfo] = []
        for message in found:
            with contextlib.suppress(msgspec.MsgspecError):  # another program's: not ours to judge
                infos.append(msgspec.json.decode(message.payload, type=ObjectInfo))
        return [info for info in infos if not info.deleted]

    async def put(self, name: str, content: Iterable[bytes], metadata: dict[str, str]) -> ObjectInfo:
        """Store an object, one acknowledged chunk after the other.

        Raises ServerUnavailableError, ApiError where the server stores no more; the chunks are removed then if it lets
        us, and with the next `remove_abandoned` otherwise.
        """
        nuid, digest, size, count = new_id(), hashlib.sha256(), 0, 0
        try:
            for chunk in content:
                await self._publish(self._chunks(nuid), chunk)
                digest.update(chunk)
                size, count = size + len(chunk), count + 1
            info = ObjectInfo(
                name=name,
                bucket=self.name,
                nuid=nuid,
                size=size,
                chunks=count,
                digest=_shown(digest.digest()),
                mtime=dt.datetime.now(dt.UTC).isoformat(timespec="seconds").replace("+00:00", "Z"),
                metadata=metadata,
            )
            await self._publish(self._meta_of(name), msgspec.json.encode(info), {"Nats-Rollup": "sub"})
        except BaseException:  # cancelled, too: nobody would remove the chunks of an object that is not there
            with contextlib.suppress(RunloreError):
                await self._overwrite(self._chunks(nuid))
            raise
        return info

    async def content(self, info: ObjectInfo) -> AsyncIterator[bytes]:
        """The bytes of an object, chunk by chunk. Raises DamagedObjectError at the end if they are not what was put."""
        digest, size, count, sequence = hashlib.sha256(), 0, 0, 1
        while count < info.chunks:
            found = await self._chunks_from(self._chunks(info.nuid), sequence)
            if not found:
                break
            for message in found:
                digest.update(message.payload)
                size, count = size + len(message.payload), count + 1
                yield message.payload
            sequence = found[-1].sequence + 1
        if (size, count, _shown(digest.digest())) != (info.size, info.chunks, info.digest):
            raise DamagedObjectError(
                f"{info.name} is damaged or was removed meanwhile: {size:,} of {info.size:,} bytes, "
                f"{count:,} of {info.chunks:,} chunks"
            )

    async def remove(self, info: ObjectInfo) -> None:
        """Remove an object, its description first. Nothing of it stays on the server's disk.

        Raises ApiError, AccessDeniedError, ServerUnavailableError.
        """
        await self._purge(self._meta_of(info.name))
        await self._overwrite(self._chunks(info.nuid))

    async def remove_abandoned(self) -> None:
        """Remove the chunks of objects that nobody finished. Raises ApiError, AccessDeniedError."""
        whole = {self._chunks(info.nuid) for info in await self.objects()}
        body = {"subjects_filter": self._chunks(">")}
        state = (await api(self._connection, f"STREAM.INFO.{self.stream}", body))["state"]
        counts: dict[str, int] = state.get("subjects") or {}
        for subject in counts.keys() - whole:
            if _age(subject) > ABANDONED:
                await self._overwrite(subject)

    async def _publish(self, subject: str, payload: bytes, headers: dict[str, str] | None = None) -> None:
        try:
            answer = await request(self._connection, subject, payload, API_TIMEOUT, headers)
        except NatsError as error:
            raise unavailable(error, f"the bucket {self.name} did not acknowledge") from error
        told = msgspec.json.decode(answer.data)
        if refusal := told.get("error"):
            raise ApiError(subject, refusal.get("code", 0), refusal.get("err_code", 0), refusal.get("description", ""))
        if told.get("stream") != self.stream:
            raise ServerUnavailableError(f"the stream {told.get('stream')} took what was for {self.stream}")

    async def _overwrite(self, subject: str) -> None:
        """Remove chunks. A purge alone only forgets them: their bytes stay in the server's file (measured)."""
        sequence = 1
        with contextlib.suppress(NotFoundError, AccessDeniedError):  # roles of an earlier version may only purge
            while found := await self._chunks_from(subject, sequence):
                for message in found:
                    await api(self._connection, f"STREAM.MSG.DELETE.{self.stream}", {"seq": message.sequence})
                sequence = found[-1].sequence + 1
        await self._purge(subject)

    async def _chunks_from(self, subject: str, sequence: int) -> list[DirectMessage]:
        query = {"seq": sequence, "next_by_subj": subject, "batch": ASK_CHUNKS, "max_bytes": ASK_BYTES}
        return await direct_get(self._connection, self.stream, query)

    async def _purge(self, subject: str) -> None:
        await api(self._connection, f"STREAM.PURGE.{self.stream}", {"filter": subject})

    def _chunks(self, nuid: str) -> str:
        return f"$O.{self.name}.C.{nuid}"

    def _meta(self, token: str) -> str:
        return f"$O.{self.name}.M.{token}"

    def _meta_of(self, name: str) -> str:
        return self._meta(base64.urlsafe_b64encode(name.encode()).decode())


def _age(subject: str) -> dt.timedelta:
    """The age of a put that was cut short, by the ID of its chunks: a UUIDv7 begins with its time."""
    with contextlib.suppress(ValueError, OverflowError, OSError):
        milliseconds = int(subject.rpartition(".")[2].replace("-", "")[:12], 16)
        return dt.datetime.now(dt.UTC) - dt.datetime.fromtimestamp(milliseconds / 1000, dt.UTC)
    return dt.timedelta()  # another program's


def _shown(digest: bytes) -> str:
    return f"SHA-256={base64.urlsafe_b64encode(digest).decode()}"
