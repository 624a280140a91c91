"""The bucket that says in which shard a project is: read by producers and readers, written by the operator alone."""

from __future__ import annotations

from typing import Any

import msgspec
from nats.aio.client import Client as NatsConnection

from runlore.schemas.errors import AccessDeniedError, RunloreError, ServerUnavailableError, SettingsError
from runlore.schemas.shards import SHARD_BUCKET, SHARD_STREAM, Shard, read_shard, shard_key
from runlore.wire.api import API_TIMEOUT, ApiError, api, api_subject, request
from runlore.wire.failures import InboxDeniedError, NatsError, NoRespondersError, unavailable

NOT_FOUND, NO_JETSTREAM = 10059, frozenset({10039, 10076})
_NAME_IN_USE = 10058
_CONFIG: dict[str, Any] = {
    "name": SHARD_STREAM,
    "description": "the shard of each project that is not in shard 0",
    "subjects": [f"$KV.{SHARD_BUCKET}.>"],
    "storage": "file",
    "retention": "limits",
    "discard": "new",
    "max_msgs_per_subject": 1,
    "allow_rollup_hdrs": True,
    "allow_direct": True,
    "deny_delete": True,
}
"""As NATS's own clients make a bucket, so that `nats kv get` shows what is there."""


def shard_request(project: str) -> str:
    """The request of JetStream's API for a project's key. Permissions can be given for each project."""
    return f"DIRECT.GET.{SHARD_STREAM}.{shard_key(project)}"


async def find_shard(connection: NatsConnection, project: str) -> Shard:
    """The shard of a project: 0 without a bucket or key, and for a user who may not read it.

    Raises ServerUnavailableError when the bucket is there and does not answer, AccessDeniedError for a user who may not
    receive answers, RunloreError for a value that is none.
    """
    try:
        answer = await request(connection, api_subject(connection, shard_request(project)), b"", API_TIMEOUT)
    except InboxDeniedError:
        raise  # nothing is known of the bucket
    except AccessDeniedError:
        return Shard()
    except NoRespondersError:
        return await _without_answer(connection)
    except NatsError as error:
        raise unavailable(error, "the connection to NATS is gone") from error
    return read_shard(answer.data)  # empty for a key that is not there


async def _without_answer(connection: NatsConnection) -> Shard:
    """Nobody serves the bucket: is there none, or are the servers that have it away?"""
    subject = api_subject(connection, f"STREAM.INFO.{SHARD_STREAM}")
    try:
        answer = await request(connection, subject, b"", API_TIMEOUT)
    except InboxDeniedError:
        raise
    except (AccessDeniedError, NoRespondersError):
        return Shard()  # also in an account that imports the subjects of a project, and no more
    except NatsError as error:
        raise unavailable(error, "the connection to NATS is gone") from error
    if msgspec.json.decode(answer.data).get("error", {}).get("err_code") in {NOT_FOUND, *NO_JETSTREAM}:
        return Shard()
    raise ServerUnavailableError(f"the bucket {SHARD_BUCKET} has no server that answers for it now")


async def assign_shard(connection: NatsConnection, project: str, shard: Shard, replicas: int) -> None:
    """Write in which shard a project is, and make the bucket unless it is there.

    Raises SettingsError when the project has events in another shard, AccessDeniedError, ServerUnavailableError, and
    ApiError where JetStream refuses.
    """
    for other in await _shards(connection):
        count = await _subjects(connection, other, project) if other != shard else 0
        if count:
            raise SettingsError(
                f"the project {project!r} has events in {other.stream}: {count:,} subject{'s' if count > 1 else ''}. A "
                "project is in one shard for good; nothing was changed"
            )
    try:
        await api(connection, f"STREAM.INFO.{SHARD_STREAM}")
    except ApiError as error:
        if error.err_code != NOT_FOUND:
            raise
        await _make(connection, replicas)
    await _put(connection, shard_key(project), str(shard.number).encode())


async def _shards(connection: NatsConnection) -> list[Shard]:
    """The shards that have a stream on this server."""
    names: list[str] = []
    while True:
        page = await api(connection, "STREAM.NAMES", {"offset": len(names)})
        new: list[str] = page.get("streams") or []
        names += new
        if not new or len(names) >= page.get("total", 0):
            return [shard for name in names if (shard := Shard.of_stream(name)) is not None]


async def _subjects(connection: NatsConnection, shard: Shard, project: str) -> int:
    """The number of subjects under which a shard has events of a project."""
    body = {"subjects_filter": f"{shard.project_prefix(project)}>"}
    state = (await api(connection, f"STREAM.INFO.{shard.stream}", body))["state"]
    return len(state.get("subjects") or {})


async def _make(connection: NatsConnection, replicas: int) -> None:
    try:
        await api(connection, f"STREAM.CREATE.{SHARD_STREAM}", _CONFIG | {"num_replicas": replicas})
    except ApiError as error:
        if error.err_code != _NAME_IN_USE:
            raise


async def _put(connection: NatsConnection, key: str, value: bytes) -> None:
    try:
        answer = await request(connection, key, value, API_TIMEOUT)
    except NatsError as error:
        raise unavailable(error, "the connection to NATS is gone") from error
    if (refusal := msgspec.json.decode(answer.data).get("error")) is not None:
        raise RunloreError(f"the bucket {SHARD_BUCKET} was not written: {refusal.get('description')}")
