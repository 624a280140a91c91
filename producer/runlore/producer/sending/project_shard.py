"""The shard of a project, asked over a relay's connection before its first row is sent.

    key in the bucket runlore-shards ─ a number ─▶ that shard
        └ no key, no bucket, not permitted, no JetStream in this account ─▶ shard 0

Imports nats-py (by the sender): only the relay's thread imports this module.
"""

from __future__ import annotations

import msgspec

from runlore.producer.sender import Sender
from runlore.producer.sending.acks import ForbiddenError, NoAnswerError, NobodyError, WrongStreamError
from runlore.schemas.errors import RunloreError
from runlore.schemas.shards import SHARD_BUCKET, SHARD_STREAM, Shard, read_shard
from runlore.wire.shards import NO_JETSTREAM, NOT_FOUND, shard_request


async def project_shard(sender: Sender, project: str) -> Shard:
    """The shard of a project; never 0 only because a server is away. Raises SendError, TimeoutError."""
    try:
        return read_shard(await sender.ask_api(shard_request(project)))
    except ForbiddenError:
        return Shard()
    except NobodyError:
        return await _without_answer(sender)
    except RunloreError as error:
        raise WrongStreamError(str(error)) from error


async def _without_answer(sender: Sender) -> Shard:
    try:
        info = msgspec.json.decode(await sender.ask_api(f"STREAM.INFO.{SHARD_STREAM}"))
    except (ForbiddenError, NobodyError):
        return Shard()
    if info.get("error", {}).get("err_code") in {NOT_FOUND, *NO_JETSTREAM}:
        return Shard()
    raise NoAnswerError(f"the bucket {SHARD_BUCKET} has no server that answers for it now")
