"""Identity: which stream is on the other side of a connection, asked before the first row is sent.

    $JS.API.STREAM.INFO ─ a stream of Runlore's ─▶ known
        └ another's, none, not permitted, not reachable from this leaf node ─▶ the archive's own answer ─▶ known
            └ nobody answers ─▶ a reason to wait, or unknown where only permissions are missing

Imports nats-py (by the sender): only the relay's thread imports this module.
"""

from __future__ import annotations

from typing import Any

import msgspec

from runlore.producer.sender import Sender
from runlore.producer.sending.acks import ForbiddenError, NobodyError, NoStreamError, WrongStreamError
from runlore.producer.sending.known_stream import KnownStream
from runlore.schemas.subjects import EPOCH_KEY, FORMER_EPOCHS_KEY
from runlore.wire.archived import ArchiveAnswer, ArchiveQuestion

ARCHIVE_SECONDS = 1.0
"""How long an archive may take to say which stream it has; a busy one only delays, it does not stop."""

_NOT_FOUND = 10059
_NO_JETSTREAM = frozenset({10039, 10076})
"""For the account: it may import the subjects of a project all the same."""


async def identify(sender: Sender) -> KnownStream | None:
    """The stream that this connection publishes on; None when nothing here may tell.

    Raises NoStreamError or WrongStreamError, with the reason, when events would not reach a stream of Runlore's;
    NoAnswerError.
    """
    try:
        info = msgspec.json.decode(await sender.ask_api(f"STREAM.INFO.{sender.inbox.shard.stream}"))
    except (ForbiddenError, NobodyError):
        return await _from_archive(sender)
    if info.get("error", {}).get("err_code") in _NO_JETSTREAM:
        return await _from_archive(sender)
    stream = _stream_in(info)
    if stream is not None:
        return stream
    # On a leaf node with a JetStream of its own, the stream that takes our events may be the hub's.
    stream = await _from_archive(sender)
    if stream is None:
        raise await _reason(sender, info)
    return stream


def _stream_in(info: dict[str, Any]) -> KnownStream | None:
    if "error" in info:
        return None
    config = info["config"]
    metadata: dict[str, str] = config.get("metadata") or {}
    epoch = metadata.get(EPOCH_KEY)
    if not epoch:
        return None
    former = frozenset(filter(None, metadata.get(FORMER_EPOCHS_KEY, "").split(",")))
    return KnownStream(epoch, info.get("domain"), config["num_replicas"], info["state"]["last_seq"], former)


async def _from_archive(sender: Sender) -> KnownStream | None:
    try:
        data = await sender.ask(
            sender.inbox.shard.archive_subject, msgspec.json.encode(ArchiveQuestion()), ARCHIVE_SECONDS
        )
        answer = msgspec.json.decode(data, type=ArchiveAnswer)
    except (ForbiddenError, NobodyError, TimeoutError, msgspec.MsgspecError):
        return None
    return KnownStream(answer.epoch, answer.domain, answer.replicas, None)


async def _reason(sender: Sender, info: dict[str, Any]) -> NoStreamError | WrongStreamError:
    """Why nothing can be sent to a server that has no stream of Runlore's."""
    error, shard = info.get("error"), sender.inbox.shard
    if error is None:
        return WrongStreamError(
            f"the stream {shard.stream} on this server was not made by Runlore (no {EPOCH_KEY} in its metadata)"
        )
    if error.get("err_code") != _NOT_FOUND:
        return NoStreamError(f"JetStream does not describe the stream {shard.stream}: {error.get('description')}")
    others = await _streams_on_our_subjects(sender)
    if others:
        return WrongStreamError(f"the server has no stream {shard.stream}: {others} takes {shard.subjects} there")
    return NoStreamError(f"the server has no stream {shard.stream}: `runlore up` or `runlore projector` makes it")


async def _streams_on_our_subjects(sender: Sender) -> str:
    try:
        data = await sender.ask_api("STREAM.NAMES", msgspec.json.encode({"subject": sender.inbox.shard.subjects}))
    except (ForbiddenError, NobodyError):
        return ""
    return ", ".join(msgspec.json.decode(data).get("streams") or [])
