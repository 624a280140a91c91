"""What may be asked of a query service: the one table for both sides, and the messages."""

from __future__ import annotations

from typing import Any

import msgspec

from runlore.query.entries import MissingKeyError
from runlore.query.remote.codec import Unpacker, pack
from runlore.schemas import errors
from runlore.schemas.errors import RunloreError
from runlore.schemas.shards import Shard
from runlore.schemas.subjects import subject_token

HTTP_PATH = "/rpc/v1"
"""Over HTTP, questions are posted to <this>/<project>/<method>."""
HTTP_TYPE = "application/vnd.msgpack"
PARTS = "Runlore-Parts"
"""Header of a reply in several messages: its part, and the number of parts."""
WORKING = "Runlore-Working"
"""Header of a message without a reply: the service has the question, and is at it."""
WORKING_SECONDS = 0.5
"""Between two of these. An answer that takes less has none."""
SILENT_SECONDS = 2.0
"""Without a message from a service, it ended while it answered: the question is asked again, of another one."""
MAX_ANSWER = 64 * 1024 * 1024
MAX_SECONDS = 60.0

CLIENT = frozenset({
    "blame", "compare", "diff", "find", "frame", "get", "get_artifact_version", "get_model_version",
    "get_pipeline_run", "lag", "list_entities", "list_kinds", "list_pipeline_runs", "producers", "quarantine",
    "quarantined", "search", "table",
})  # fmt: skip
"""Names of the Client that travel."""
ENTITY = frozenset({
    "blame", "cells", "consumers", "created", "downstream", "field_history", "fields", "history", "holder", "holds",
    "inputs", "known", "metadata", "models", "name", "outputs", "parameter_cells", "parts", "producer", "run_metadata",
    "runs", "series", "steps", "upstream",
})  # fmt: skip
"""Names of an Entity that travel."""
INNER = frozenset({"again", "folded", "moment_of", "position_at", "state", "watch_page", "watch_start"})
"""Questions behind the other names: see `Answers`."""
NEEDS_FILES = {
    "audit_state": "it reads log.db",
    "erase": "it signs with the log's key",
    "logged_event": "it reads log.db",
}
"""Names of the Client that do not travel, and why."""


class Call(msgspec.Struct, array_like=True):
    """One question. `entity` is a packed entity whose method is meant, None for the client's."""

    project: str
    method: str
    entity: Any
    args: list[Any]
    kwargs: dict[str, Any]
    position: int
    occurred: int | None
    clock: str
    at_least: int
    seconds: float
    news_after: int = 0
    wait: float = 0.0
    """Seconds to wait for an event after `news_after`, before it is answered that there is none."""


class Reply(msgspec.Struct, array_like=True):
    """An answer or an error, and the state of the view that gave it."""

    position: int
    epoch: str
    version: int
    failed: bool
    node: Any
    shard: int = 0
    """Of the position."""


def subject(project: str, method: str, shard: Shard = Shard()) -> str:  # noqa: B008 -- frozen
    """The subject of a method in a shard: permissions are given by project."""
    return f"{shard.query_subject}.{subject_token(project)}.{method}"


_OTHERS: tuple[type[Exception], ...] = (MissingKeyError, TypeError, ValueError, KeyError, LookupError)
_ERRORS: dict[str, type[Exception]] = {
    **{name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and issubclass(kind, RunloreError)},
    **{kind.__name__: kind for kind in _OTHERS},
}


def travels(error: Exception) -> bool:
    """Return whether the asker can raise the same error again."""
    return _ERRORS.get(type(error).__name__) is type(error)


def pack_error(error: Exception) -> Any:
    """An error as it travels: class, arguments and attributes."""
    if not travels(error):
        return ["RunloreError", [pack(f"the query service failed: {error!r:.500}")], {}]
    state = {key: pack(value) for key, value in vars(error).items()}
    return [type(error).__name__, [pack(arg) for arg in error.args], state]


def read_error(node: Any, unpacker: Unpacker) -> Exception:
    """The same error again; of an unknown class a RunloreError."""
    name, args, state = node
    kind = _ERRORS.get(name, RunloreError)
    error = kind.__new__(kind, *map(unpacker.read, args))
    error.args = tuple(map(unpacker.read, args))
    error.__dict__.update({key: unpacker.read(value) for key, value in state.items()})
    return error
