"""Which proven events took effect, by the rules of the fold.

A proof shows that a message is in the log. The log also keeps what never took effect: what cannot be decoded, what came
under a foreign ID or subject, second copies. `judge` says so of each event, with nothing but the events themselves.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple

import msgspec

from runlore.projector.audit.key_history import signs
from runlore.projector.audit.keys import Verifier
from runlore.schemas.acceptance import Acceptance, Rejection, second_copy
from runlore.schemas.events import Event
from runlore.schemas.signatures import Signer
from runlore.store.audit.actor_keys import ActorKey, ActorKeys, actor_key_in
from runlore.store.audit.erasure import is_erasure
from runlore.store.audit.proof import ProvenEvent
from runlore.store.audit.retention import is_retention
from runlore.store.audit.statement import is_statement
from runlore.store.sqlite import sqlite

_FIRST = "SELECT position FROM log WHERE event_id = ? AND duplicate_of IS NULL"
_STATEMENT = Rejection("decode", "no event, but a statement about the keys that sign the log: `runlore audit key`")
_ERASURE = Rejection("decode", "no event, but the erasure of values from earlier events")
_RETENTION = Rejection("decode", "no event, but a retention rule or a legal hold: `runlore retention list`")
_ACTOR_KEY = Rejection("decode", "no event, but a statement about an actor's key: `runlore audit actor list`")
_FOREIGN_KEY = Rejection("decode", "no event, but a statement about an actor's key that no trusted key has signed")
_LONGEST = 500
"""Characters of a reason."""


class Verdict(NamedTuple):
    """Whether an event of the log took effect."""

    event: Event | None
    """None where it is rejected before it is decoded and checked."""
    rejection: Rejection | None = None
    first: int | None = None
    """The position of the first event with its ID, where it is a second copy."""
    proved: bool = True
    """False for a refusal by the fold: it depends on all earlier events, and is only reported."""
    signer: Signer | None = None
    """The key that signed it, and whose it is by the statements at hand; None for one that is not signed."""

    @property
    def label(self) -> str:
        """In a few words."""
        if self.rejection is None:
            return "in the log, accepted"
        why = shortened(self.rejection.why)
        if self.proved:
            return f"in the log, rejected: {why}"
        return f"in the log, rejected by the view it was taken from (not proved): {why}"

    @property
    def who(self) -> str:
        """Whom the event proves, if anybody: an actor that is not proved is what the producer says."""
        return "claimed" if self.signer is None else str(self.signer)

    def record(self) -> dict[str, Any]:
        """As JSON."""
        signer = None if self.signer is None else msgspec.to_builtins(self.signer)
        if self.rejection is None:
            return {"effect": "accepted", "rejected": None, "signer": signer}
        reason = {**self.rejection._asdict(), "first": self.first, "proved": self.proved}
        return {"effect": "rejected", "rejected": reason, "signer": signer}


def judge(
    events: Sequence[ProvenEvent],
    refused: Mapping[int, Rejection],
    trusted: Sequence[Verifier] = (),
    others: Iterable[ProvenEvent] = (),
) -> list[Verdict]:
    """The verdict on each of these events, which are in the order of the log.

    `refused`: by position, what a view's fold has refused. It counts where the rules for a single message accept.
    `trusted`: the keys whose statements about actors count. `others`: further events of the log, which may be first
    copies of these, or such statements.
    """
    every = [*events, *others]
    accept, firsts = Acceptance().event, _first_of_each_id(every)
    keys, ahead = ActorKeys(), deque(_stated(every, trusted))
    verdicts: list[Verdict] = []
    for event in events:
        while ahead and ahead[0][0] < event.position:
            keys.take(ahead.popleft()[1])
        found = accept(event.event_id, event.subject, event.payload, event.erasure is not None)
        decoded = None if isinstance(found, Rejection) else found
        first = event if event.event_id is None else firsts[event.event_id]
        if first.position != event.position:
            same = (first.subject, first.payload) == (event.subject, event.payload)
            verdicts.append(Verdict(decoded, second_copy(event.event_id, first.position, same), first.position))
        elif isinstance(found, Rejection):
            verdicts.append(Verdict(None, _statement(event, trusted) or found))
        else:
            claim = refused.get(event.position)
            signature = None if decoded is None else decoded.signature
            signer = None if signature is None else keys.signer(signature.key)
            verdicts.append(Verdict(decoded, claim, proved=claim is None, signer=signer))
    return verdicts


def _stated(events: Iterable[ProvenEvent], trusted: Sequence[Verifier]) -> list[tuple[int, ActorKey]]:
    found = {event.position: stated_in(event, trusted) for event in events}
    return [(position, stated) for position, stated in sorted(found.items(), key=itemgetter(0)) if stated is not None]


def stated_in(event: ProvenEvent, trusted: Sequence[Verifier]) -> ActorKey | None:
    """The statement about an actor's key that a message is, if a trusted key has signed it."""
    stated = actor_key_in(event.subject, event.payload)
    note = event.payload.decode(errors="replace")
    return stated if stated is not None and any(signs(key, note) for key in trusted) else None


def _statement(event: ProvenEvent, trusted: Sequence[Verifier]) -> Rejection | None:
    """What a message is that is about the log itself."""
    if is_statement(event.subject, event.payload):
        return _STATEMENT
    if actor_key_in(event.subject, event.payload) is not None:
        return _FOREIGN_KEY if stated_in(event, trusted) is None else _ACTOR_KEY
    if is_erasure(event.subject, event.payload):
        return _ERASURE
    return _RETENTION if is_retention(event.subject, event.payload) else None


def _first_of_each_id(events: Iterable[ProvenEvent]) -> dict[str, ProvenEvent]:
    firsts: dict[str, ProvenEvent] = {}
    for event in events:
        if event.event_id is not None and firsts.setdefault(event.event_id, event).position > event.position:
            firsts[event.event_id] = event
    return firsts


def shortened(why: str) -> str:
    """A reason without the megabytes that an event may put into it."""
    return why if len(why) <= _LONGEST else f"{why[:_LONGEST]}…"


def first_copy(log: sqlite.Connection, event: ProvenEvent) -> int:
    """The position of the first event with the ID of this one: its own, unless it is a second copy."""
    row = None if event.event_id is None else log.execute(_FIRST, (event.event_id,)).fetchone()
    return event.position if row is None else int(row[0])
