"""Acceptance: the rules by which a message of the log is an event in effect, as far as the message alone decides.

The fold applies them to every row, the audit to every event that it proves: evidence says "in effect" by the same
rules as the view. In order: the bytes decode, the header has the event's ID, the subject has its project, the
signature holds if the producer signs (`signatures`), and `validity.check_event` finds nothing beyond a limit. Two rules
need more than the message: no earlier message has the same ID (`second_copy`), and the fold can apply the event to what
the log said before it.
"""

from __future__ import annotations

from typing import Literal, NamedTuple

from runlore.schemas.codec import decode_event
from runlore.schemas.errors import EventDecodeError, EventLimitError, RunloreError
from runlore.schemas.events import Event
from runlore.schemas.shards import Shard
from runlore.schemas.signatures import MARK, signature_problem
from runlore.schemas.validity import check_event

Stage = Literal["decode", "signature", "fold", "conflict", "copy"]
"""The rule that rejects an event. `copy`: it repeats an earlier one, which quarantine does not list."""

_MAX_PREFIXES = 65_536


class Rejection(NamedTuple):
    """Why a message of the log has no effect."""

    stage: Stage
    why: str


class Acceptance:
    """The rules about one message. Remembers the subjects of projects: call the same one again."""

    def __init__(self) -> None:
        self._prefixes: dict[str, str] = {}

    def event(self, event_id: str | None, subject: str, payload: bytes, erased: bool = False) -> Event | Rejection:
        """The event in a message, or why it has none that takes effect.

        `erased`: values were erased from it, as an erasure in the log says.
        """
        try:
            event = decode_event(payload)
        except EventDecodeError as error:
            # Some limits are found while decoding and some after it: the same reason is the same row.
            return Rejection("fold" if isinstance(error, EventLimitError) else "decode", str(error))
        if event.id != event_id:
            return Rejection("decode", f"header Nats-Msg-Id is {event_id!r}, the event's ID {event.id!r}")
        prefix = self._prefixes.get(event.project)
        if (prefix is None or not subject.startswith(prefix)) and not self._learned(subject, event.project):
            return Rejection("decode", f"project {event.project!r} came on subject {subject!r}")
        if event.signature is not None or MARK in event.producer_id:
            problem = signature_problem(event, payload, erased)
            if problem is not None:
                return Rejection("signature", problem)
        try:
            check_event(event)
        except RunloreError as error:
            return Rejection("fold", str(error))
        return event

    def _learned(self, subject: str, project: str) -> bool:
        """Remember how the subjects of a project begin in this log's shard; False if this is none of its."""
        prefix = Shard.prefix_of(subject, project)
        if prefix is None:
            return False
        if len(self._prefixes) >= _MAX_PREFIXES:  # anyone may make many, by a new project with each event
            self._prefixes.clear()
        self._prefixes[project] = prefix
        return True


def second_copy(event_id: str | None, first: int, same: bool) -> Rejection:
    """Why a message has no effect whose ID an earlier one has; `same`: with the same subject and payload."""
    if same:
        return Rejection("copy", f"a second copy of event {first}")
    return Rejection(
        "conflict",
        f"event {event_id} is at position {first} with other content: this one has no effect. Somebody forged it, or "
        "used an ID twice",
    )
