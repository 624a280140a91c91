"""The stream that holds the log: created once, verified at every start, never repaired."""

from __future__ import annotations

import base64
import datetime as dt
import uuid
from collections.abc import Callable, Mapping
from importlib.metadata import version
from typing import Any, NamedTuple

from nats.aio.client import Client as NatsConnection

from runlore.schemas.errors import NotFoundError, ServerUnavailableError, SettingsError, StreamDriftError
from runlore.schemas.settings import Settings
from runlore.schemas.shards import Shard
from runlore.schemas.subjects import EPOCH_KEY
from runlore.wire.api import ApiError, api, shard_of

VERSION_KEY = "runlore.version"
DUPLICATE_WINDOW_NS = 120 * 10**9

_NOT_FOUND, _NAME_IN_USE, _NO_MESSAGE, _OVERLAP, _LIMIT_REQUIRED = 10059, 10058, 10037, 10065, 10113
_TOO_MANY_REPLICAS = frozenset({10005, 10052, 10074})

_CONFIG: Mapping[str, Any] = {
    "storage": "file",
    "retention": "limits",
    "discard": "new",
    "max_msgs": -1,
    "max_age": 0,
    "max_msg_size": -1,
    "max_msgs_per_subject": -1,
    "deny_delete": True,
    "deny_purge": True,
    "allow_atomic": True,
    "compression": "none",
}
"""The configuration that a stream is created with and must keep, its subjects apart.

`max_bytes` may be anything: with `discard: new` a full stream refuses events, which wait in their outboxes, and hosted
accounts require a limit."""

_ABSENT: Mapping[str, Any] = {
    "sealed": False,
    "no_ack": False,
    "discard_new_per_subject": False,
    "allow_rollup_hdrs": False,
    "allow_msg_ttl": False,
    "allow_msg_counter": False,
    "allow_msg_schedules": False,
    "subject_delete_marker_ttl": 0,
    "persist_mode": "default",
    "mirror": None,
    "sources": None,
    "subject_transform": None,
}
"""Settings that would delete, change or hide messages, or only pretend to store them, with their harmless value."""

_UNLIMITED = frozenset({"max_msgs", "max_msg_size", "max_msgs_per_subject"})


class StreamIdentity(NamedTuple):
    """The stream's epoch and extent."""

    epoch: str
    """Random UUID given when the stream was made."""
    first_seq: int
    last_seq: int


class StreamInfo(NamedTuple):
    """A stream as the server describes it."""

    config: dict[str, Any]
    first_seq: int
    last_seq: int
    messages: int
    bytes: int
    replicas: int = 1
    domain: str | None = None
    """JetStream domain."""
    cluster: Mapping[str, Any] | None = None
    """Its leader and followers; None on a server that is in no cluster."""

    @property
    def max_bytes(self) -> int:
        """Bytes at which it refuses events; 0: no limit of its own."""
        return max(0, int(self.config.get("max_bytes", 0)))

    @property
    def epoch(self) -> str | None:
        return _epoch(self.config)


class StoredMessage(NamedTuple):
    """One message read again from the stream."""

    sequence: int
    subject: str
    headers: bytes
    """The header block as published, status line included; empty when there is none."""
    payload: bytes
    recorded: float
    """The server's clock, Unix seconds."""


class Drift(NamedTuple):
    """One setting of the stream that is not what Runlore needs."""

    field: str
    wanted: Any
    found: Any

    def __str__(self) -> str:
        return f"{self.field} is {self.found!r}, must be {self.wanted!r}"


async def ensure_stream(connection: NatsConnection, settings: Settings) -> StreamIdentity:
    """The identity of the stream, made if absent and verified if present.

    Raises StreamDriftError listing what differs or naming the stream that has our subjects, SettingsError when the
    server cannot make it as configured, ServerUnavailableError when nobody answers or there is no JetStream.
    """
    try:
        info = await stream_info(connection)
    except NotFoundError:
        info = await _create(connection, settings)
    require_no_drift(info)
    assert info.epoch
    return StreamIdentity(info.epoch, info.first_seq, info.last_seq)


def require_no_drift(info: StreamInfo) -> None:
    """Raises StreamDriftError listing every setting that is not what Runlore needs."""
    if drift := stream_drift(info.config):
        raise StreamDriftError(_drift_message(info.config["name"], drift))


async def stream_info(connection: NatsConnection) -> StreamInfo:
    """The stream's configuration and extent. Raises NotFoundError, ServerUnavailableError."""
    try:
        return _info(await api(connection, f"STREAM.INFO.{shard_of(connection).stream}"))
    except ApiError as error:
        if error.err_code == _NOT_FOUND:
            raise NotFoundError(
                f"the server has no stream {shard_of(connection).stream}: `runlore up` or `runlore projector` makes it"
            ) from None
        raise ServerUnavailableError(str(error)) from error


async def get_message(connection: NatsConnection, sequence: int) -> StoredMessage | None:
    """The message at `sequence`, or None when the stream does not hold it. Raises ServerUnavailableError."""
    try:
        found = (await api(connection, _message_request(connection), {"seq": sequence}))["message"]
    except ApiError as error:
        if error.err_code == _NO_MESSAGE:
            return None
        raise ServerUnavailableError(str(error)) from error
    return _stored_message(found)


def _stored_message(found: Mapping[str, Any]) -> StoredMessage:
    return StoredMessage(
        found["seq"],
        found["subject"],
        base64.b64decode(found.get("hdrs", "")),
        base64.b64decode(found.get("data", "")),
        dt.datetime.fromisoformat(found["time"]).timestamp(),
    )


async def messages_on(connection: NatsConnection, subject: str) -> list[StoredMessage]:
    """All messages of one subject, which are few. Raises ServerUnavailableError."""
    found: list[StoredMessage] = []
    while True:
        after = found[-1].sequence + 1 if found else 1
        try:
            answer = await api(connection, _message_request(connection), {"seq": after, "next_by_subj": subject})
        except ApiError as error:
            if error.err_code == _NO_MESSAGE:
                return found
            raise ServerUnavailableError(str(error)) from error
        found.append(_stored_message(answer["message"]))


async def next_sequence(connection: NatsConnection, sequence: int) -> int | None:
    """The first sequence at or after `sequence` that the stream holds, None when there is none.

    Raises ServerUnavailableError.
    """
    try:
        query = {"seq": sequence, "next_by_subj": shard_of(connection).subjects}
        return int((await api(connection, _message_request(connection), query))["message"]["seq"])
    except ApiError as error:
        if error.err_code == _NO_MESSAGE:
            return None
        raise ServerUnavailableError(str(error)) from error


def _message_request(connection: NatsConnection) -> str:
    return f"STREAM.MSG.GET.{shard_of(connection).stream}"


def stream_drift(config: Mapping[str, Any]) -> list[Drift]:
    """Every setting that would delete, reject or hide events, or that we cannot work with."""
    shard = Shard.of_stream(config.get("name", "")) or Shard()
    drift = [
        Drift(field, wanted, found)
        for field, wanted in {"subjects": [shard.subjects], **_CONFIG, **_ABSENT}.items()
        if (found := _normal(field, config.get(field), wanted)) != wanted
    ]
    window = config.get("duplicate_window", 0)
    if window < DUPLICATE_WINDOW_NS:
        drift.append(Drift("duplicate_window", DUPLICATE_WINDOW_NS, window))
    if not _epoch(config):
        drift.append(Drift(f"metadata[{EPOCH_KEY}]", "the UUID it was made with", None))
    return drift


def _epoch(config: Mapping[str, Any]) -> str | None:
    metadata: Mapping[str, str] = config.get("metadata") or {}
    return metadata.get(EPOCH_KEY)


def _normal(field: str, found: Any, wanted: Any) -> Any:
    # The server leaves out what is empty, and writes "no limit" as 0 or -1.
    if field in _UNLIMITED and found in (None, 0):
        return -1
    if field == "persist_mode":
        return found or wanted
    if found is None or found == [] or found == "":
        return type(wanted)() if wanted is not None and not isinstance(wanted, list) else None
    return found


def stream_config(epoch: str, replicas: int, shard: Shard = Shard()) -> dict[str, Any]:  # noqa: B008 -- frozen
    """The configuration that the stream of a shard is made with."""
    return {
        "name": shard.stream,
        "subjects": [shard.subjects],
        **_CONFIG,
        "duplicate_window": DUPLICATE_WINDOW_NS,
        "num_replicas": replicas,
        "metadata": {EPOCH_KEY: epoch, VERSION_KEY: version("runlore")},
    }


async def create_stream(connection: NatsConnection, config: dict[str, Any]) -> StreamInfo:
    """Make the stream. Raises ApiError, ServerUnavailableError."""
    return _info(await api(connection, f"STREAM.CREATE.{config['name']}", config))


async def _create(connection: NatsConnection, settings: Settings) -> StreamInfo:
    config = stream_config(str(uuid.uuid4()), settings.replicas or 1, shard_of(connection))
    try:
        return await create_stream(connection, config)
    except ApiError as error:
        if error.err_code == _NAME_IN_USE:  # someone else made it meanwhile, with another epoch
            return await stream_info(connection)
        if error.err_code in _TOO_MANY_REPLICAS and settings.replicas not in (None, 1):
            raise SettingsError(
                f"RUNLORE_REPLICAS={settings.replicas} is more than this server or cluster has nodes with JetStream "
                f"and room ({error.description}). The stream was not made; add nodes, or use a lower number"
            ) from error
        if error.err_code == _LIMIT_REQUIRED:
            raise SettingsError(
                f"this account wants a limit for the stream ({error.description}): make it with `runlore operator "
                "stream --max-bytes BYTES --create`"
            ) from error
        if error.err_code == _OVERLAP:
            raise await _taken(connection) from error
        raise ServerUnavailableError(
            f"the server would not make the stream {config['name']}: {error.description}"
        ) from error


async def others_on_our_subjects(connection: NatsConnection) -> list[str]:
    """Names of the streams that take our subjects where there is no stream of ours."""
    found = await api(connection, "STREAM.NAMES", {"subject": shard_of(connection).subjects})
    return found.get("streams") or []


async def _taken(connection: NatsConnection) -> StreamDriftError:
    """Another stream takes our subjects: waiting changes nothing."""
    shard = shard_of(connection)
    others = await others_on_our_subjects(connection) or ["another stream"]
    return StreamDriftError(
        f"the stream {shard.stream} cannot be made: {', '.join(others)} takes "
        f"{shard.subjects} on this server. Nothing was changed. Take these subjects out of it, or use another NATS "
        "account or server for Runlore"
    )


def _info(answer: dict[str, Any]) -> StreamInfo:
    field: Callable[[str], int] = answer["state"].__getitem__
    config = answer["config"]
    numbers = field("first_seq"), field("last_seq"), field("messages"), field("bytes")
    cluster: dict[str, Any] = answer.get("cluster") or {}
    clustered = cluster if cluster.get("name") else None  # a single server names itself the leader, and no cluster
    return StreamInfo(config, *numbers, config["num_replicas"], answer.get("domain"), clustered)


def _drift_message(stream: str, drift: list[Drift]) -> str:
    listed = "; ".join(map(str, drift))
    return (
        f"the stream {stream} is not configured as Runlore needs it: {listed}. Nothing was changed. "
        "If someone changed it by mistake, set it back (`nats stream edit`) after making sure that no "
        "message was deleted; if it is not Runlore's stream, use another NATS account or server"
    )
