"""Signed checkpoints on NATS: a small stream of their own, in which a projector finds what it has signed before."""

from __future__ import annotations

import base64
from typing import Any

import msgspec
from nats.aio.client import Client as NatsConnection

from runlore.schemas.errors import NotFoundError, ServerUnavailableError
from runlore.schemas.subjects import CHECKPOINT_STREAM, CHECKPOINT_SUBJECT, subject_token
from runlore.wire.api import API_TIMEOUT, ApiError, api, request, shard_of
from runlore.wire.failures import NATS_ERRORS, unavailable

_NAME_IN_USE, _NOT_FOUND, _NO_MESSAGE = 10058, 10059, 10037
_KEPT, _BYTES = 10_000, 16 * 1024 * 1024


def checkpoint_stream_config(replicas: int) -> dict[str, Any]:
    """The configuration of the stream of checkpoints. Old ones go when it is full: the newest says most."""
    return {
        "name": CHECKPOINT_STREAM,
        "subjects": [f"{CHECKPOINT_SUBJECT}.*"],
        "storage": "file",
        "retention": "limits",
        "discard": "old",
        "max_msgs": _KEPT,
        "max_bytes": _BYTES,
        "deny_delete": True,
        "deny_purge": True,
        "num_replicas": replicas,
    }


async def ensure_checkpoint_stream(connection: NatsConnection, replicas: int) -> None:
    """Make the stream of checkpoints unless it is there.

    Raises ServerUnavailableError (AccessDeniedError where this user may not)."""
    try:
        await api(connection, f"STREAM.CREATE.{CHECKPOINT_STREAM}", checkpoint_stream_config(replicas))
    except ApiError as error:
        if error.err_code != _NAME_IN_USE:
            raise ServerUnavailableError(str(error)) from error


async def last_checkpoint(connection: NatsConnection, epoch: str) -> str | None:
    """The newest checkpoint that was published of the log of this epoch; None when there is none.

    Raises ServerUnavailableError."""
    query = {"last_by_subj": _subject(epoch)}
    try:
        found = (await api(connection, f"STREAM.MSG.GET.{CHECKPOINT_STREAM}", query))["message"]
    except ApiError as error:
        if error.err_code in (_NOT_FOUND, _NO_MESSAGE):
            return None
        raise ServerUnavailableError(str(error)) from error
    return base64.b64decode(found.get("data", "")).decode(errors="replace")


async def publish_checkpoint(connection: NatsConnection, epoch: str, note: str) -> None:
    """Publish a checkpoint; it is stored when this returns. Raises ServerUnavailableError, NotFoundError."""
    await _stored(connection, _subject(epoch), note, CHECKPOINT_STREAM)


async def send_statement(connection: NatsConnection, note: str, message_id: str) -> None:
    """Send a statement about a key to the log's stream; it is stored when this returns. Raises as above."""
    shard = shard_of(connection)
    await _stored(connection, shard.signing_subject, note, shard.stream, message_id)


async def _stored(
    connection: NatsConnection, subject: str, note: str, stream: str, message_id: str | None = None
) -> None:
    headers = {"Content-Type": "text/plain", **({"Nats-Msg-Id": message_id} if message_id else {})}
    try:
        answer = await request(connection, subject, note.encode(), API_TIMEOUT, headers)
    except NATS_ERRORS as error:
        raise unavailable(error, f"nobody stored the message on {subject}") from error
    ack: dict[str, Any] = msgspec.json.decode(answer.data)
    if ack.get("stream") != stream:
        raise NotFoundError(f"{subject} reached {ack.get('stream') or ack.get('error')} and not {stream}")


def _subject(epoch: str) -> str:
    return f"{CHECKPOINT_SUBJECT}.{subject_token(epoch)}"
