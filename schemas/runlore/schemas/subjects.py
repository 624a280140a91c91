"""Subjects and headers: how an event is addressed on NATS.

    runlore.<project>.<kind>.<name>[.<version>]        runlore.<project>.step.<run>.<name>

Tokens are percent-encoded outside ``[A-Za-z0-9_-]``: NATS takes ``*``, ``>`` and dots in a published
subject literally, and nats-py does not check them.
"""

from __future__ import annotations

import datetime as dt
import re

from runlore.schemas.references import EntityRef

SUBJECT_PREFIX = "runlore"
"""Of shard 0, and of events whose shard is not known yet; see `shards.Shard`."""
STREAM_NAME = "RUNLORE"
EPOCH_KEY = "runlore.epoch"
"""Key of the stream's metadata for its epoch, a random UUID that identifies it."""
FORMER_EPOCHS_KEY = "runlore.former_epochs"
"""Key for the epochs that a restored stream continues, comma-separated: events that wait for one may be sent to it."""
SIGNING_TOKENS = "=signing.keys"
SIGNING_SUBJECT = f"{SUBJECT_PREFIX}.{SIGNING_TOKENS}"
"""Statements about the keys that sign the log of shard 0. No project has this token: `=` is encoded in those."""
CHECKPOINT_STREAM = "RUNLORE_CHECKPOINTS"
CHECKPOINT_SUBJECT = "runlore_checkpoints"
"""With `.<epoch>` appended: the signed checkpoints of a shard's log, in a small stream of their own. Outside
`runlore.>`: a checkpoint must not be an event of the log that it speaks for."""

_SAFE = re.compile(r"[A-Za-z0-9_-]*")
_UNSAFE = re.compile(rb"[^A-Za-z0-9_-]")


def subject_token(text: str) -> str:
    """`text` as one subject token."""
    if _SAFE.fullmatch(text):
        return text  # the usual case, in a third of the time
    return _UNSAFE.sub(lambda match: b"%%%02X" % match[0][0], text.encode()).decode()


def subject_for(project: str, ref: EntityRef) -> str:
    """The subject of an event whose first entity is `ref`."""
    tokens = [SUBJECT_PREFIX, project, ref.kind]
    if ref.kind == "step":
        tokens += [ref.run or ref.pipeline or "", ref.name]
    else:
        tokens.append(ref.name)
    if ref.version is not None:
        tokens.append(ref.version)
    return ".".join([tokens[0], *map(subject_token, tokens[1:])])


def event_headers(event_id: str) -> dict[str, str]:
    """NATS headers of an event: the deduplication ID."""
    return {"Nats-Msg-Id": event_id}


def cloudevents_headers(event_id: str, event_type: str, project: str, occurred_at: dt.datetime) -> dict[str, str]:
    """CloudEvents attributes (binary mode, 1.0), for other tools that read the stream: they repeat the payload."""
    return {
        "Content-Type": "application/msgpack",
        "ce-specversion": "1.0",
        "ce-id": event_id,
        "ce-type": f"runlore.{event_type}",
        "ce-source": f"/runlore/{subject_token(project)}",
        "ce-time": occurred_at.isoformat().replace("+00:00", "Z"),
    }
