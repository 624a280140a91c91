"""What an erasure takes: which events hold the content, and what else those events are about."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import Path
from typing import NamedTuple

from runlore.projector.audit.trail import entities_of, refused_about
from runlore.projector.erasures.candidates import About, about, fields_of, quarantined_subject
from runlore.projector.erasures.refused import named_in
from runlore.projector.erasures.selection import Selection
from runlore.schemas.acceptance import Acceptance, Rejection
from runlore.schemas.codec import decode_event
from runlore.schemas.errors import EventDecodeError, NotFoundError, RunloreError
from runlore.schemas.paths import PathParts
from runlore.schemas.redaction import WHOLE, content, redacted, shortest, whole_reason
from runlore.schemas.references import EntityRef
from runlore.schemas.shards import is_signing_subject
from runlore.store.audit.erasure import ErasedEvent, redaction_of
from runlore.store.sqlite import open_reader

MAX_PATHS = 16 * 1024
"""Bytes of the paths of one event in one erasure: one that needs more is named again in the next."""

_COPIES = "SELECT position, duplicate_of FROM log WHERE duplicate_of IS NOT NULL"
_ROW = "SELECT payload, subject, event_id, duplicate_of FROM log WHERE position = ?"
_OF_ID = "SELECT position FROM log WHERE event_id = ? AND duplicate_of IS NULL"


class ErasurePlan(NamedTuple):
    """The events that hold the content, and what the caller should know before it goes."""

    events: list[ErasedEvent]
    values: int
    about: list[str]
    """The entities whose content it is: an event of several entities holds a value once, for all of them."""
    unsalted: int
    """Events without a salt: who knows the rest of one can try values against the hash that stays."""


class Wanted(NamedTuple):
    """What one event is to lose."""

    position: int
    paths: tuple[PathParts, ...]
    """Of single values, or of the whole payload."""
    about: tuple[About, ...]
    subject: str
    """Where it is in quarantine; empty for events in effect."""


class Sources:
    """The view and the log that a plan is made from. A context manager."""

    def __init__(self, view: Path, log: Path) -> None:
        with contextlib.ExitStack() as unfit:
            self.view = unfit.enter_context(contextlib.closing(open_reader(view)))
            self.log = unfit.enter_context(contextlib.closing(open_reader(log)))
            self._opened = unfit.pop_all()
        self.path = view

    def __enter__(self) -> Sources:
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def payload(self, position: int) -> bytes:
        """The payload of a row as it is now. Raises NotFoundError."""
        return bytes(self._row(position)[0])

    def row(self, position: int) -> tuple[bytes, str, str | None, int | None]:
        """Payload, subject, event ID and first copy. Raises NotFoundError."""
        payload, subject, event_id, first = self._row(position)
        return bytes(payload), subject, event_id, first

    def position_of(self, event_id: str) -> int:
        """The position of an event by its ID. Raises NotFoundError."""
        row = self.log.execute(_OF_ID, (event_id,)).fetchone()
        if row is None:
            raise NotFoundError(f"log.db holds no event {event_id}")
        return int(row[0])

    def _row(self, position: int) -> tuple[bytes, str, str | None, int | None]:
        row: tuple[bytes, str, str | None, int | None] | None = self.log.execute(_ROW, (position,)).fetchone()
        if row is None:
            raise NotFoundError(f"log.db does not hold event {position:,}")
        return row


def wanted_of(sources: Sources, project: str, ref: EntityRef, selection: Selection) -> list[Wanted]:
    """The content of an entity, of all its versions without one, that a selection means; ascending.

    Raises NotFoundError where the log has never named the entity.
    """
    ids = [entity_id for entity_id, _ in entities_of(sources.view, project, ref)]
    fields = fields_of(sources.view, ids)
    found = list(wanted_in(sources, fields, selection))
    if selection.everything:
        refused = refused_about(sources.path, project, [ref], list(fields))
        found += [one for position in refused if (one := _whole(sources, position)) is not None]
    return sorted(found)


def wanted_in(sources: Sources, fields: Mapping[int, set[str]], selection: Selection) -> Iterator[Wanted]:
    """The content that a selection means in these fields of events."""
    for position, names in fields.items():
        paths = [path for path in _contents(sources, position) if path[0] in names and selection.has(path)]
        if paths:
            yield Wanted(position, tuple(paths), tuple(about(sources.view, position)), "")


def wanted_at(sources: Sources, event: int | str) -> list[Wanted]:
    """All content of one event, by position or ID: of one that has no effect, the whole payload.

    Raises NotFoundError where there is none, or it is erased already.
    """
    position = event if isinstance(event, int) else sources.position_of(event)
    _, subject, _, first = sources.row(position)
    if is_signing_subject(subject):
        raise NotFoundError(f"event {position:,} is a statement about the log itself: there is nothing to erase")
    if (whole := _whole(sources, position)) is not None:
        return [whole]
    if quarantined_subject(sources.view, position) is None:
        found = _contents(sources, first or position)
        if found:
            return [Wanted(first or position, tuple(found), tuple(about(sources.view, first or position)), "")]
    raise NotFoundError(f"event {position:,} holds nothing that can be erased, or it is erased already")


def plan_erasure(sources: Sources, wanted: Sequence[Wanted], reason: str) -> ErasurePlan:
    """What the erasure of this content is. Raises EventDecodeError where an event cannot be redacted."""
    paths = {one.position: one.paths for one in wanted}
    copies = _copies(sources, paths)
    events: list[ErasedEvent] = []
    unsalted = 0
    for position in sorted({*paths, *copies}):
        events += _named(sources, position, paths[copies.get(position, position)], reason)
        unsalted += redaction_of(sources.log, position) is None and not _salted(sources.payload(position))
    entities = {entity.reference for one in wanted for entity in one.about if not one.subject}
    subjects = {one.subject for one in wanted if one.subject}
    return ErasurePlan(events, sum(map(len, paths.values())), [*sorted(entities), *sorted(subjects)], unsalted)


def _contents(sources: Sources, position: int) -> list[PathParts]:
    # A row that was never redacted has no real marks: what looks like one was logged so, and may be anything.
    return content(sources.payload(position), erased=redaction_of(sources.log, position) is None)


def _whole(sources: Sources, position: int) -> Wanted | None:
    """A quarantined event that was not erased yet."""
    if quarantined_subject(sources.view, position) is None or whole_reason(sources.payload(position)) is not None:
        return None
    payload, subject, _, first = sources.row(position)
    # Of one with an earlier event's ID, what that is about: it claims to be the same event.
    entities = [*named_in(subject, payload), *(about(sources.view, first) if first else ())]
    return Wanted(position, (WHOLE,), tuple(dict.fromkeys(entities)), subject)


def _named(sources: Sources, position: int, wanted: Sequence[PathParts], reason: str) -> Iterator[ErasedEvent]:
    payload, subject, event_id, _ = sources.row(position)
    before = redaction_of(sources.log, position)
    logged = before.payload_hash if before else sha256(payload).digest()
    if wanted == (WHOLE,):
        yield ErasedEvent(position, logged, sha256(redacted(payload, wanted, reason)).digest(), (WHOLE,))
        return
    accept, left = Acceptance().event, payload
    for paths in _portions(shortest(payload, wanted)):
        left = redacted(left, paths, reason)
        yield ErasedEvent(position, logged, sha256(left).digest(), paths)
    was, now = accept(event_id, subject, payload, before is not None), accept(event_id, subject, left, erased=True)
    if isinstance(now, Rejection) and not isinstance(was, Rejection):
        raise RunloreError(f"event {position:,} would not be one any more ({now.why}): give a shorter reason")


def _portions(paths: Sequence[PathParts]) -> Iterator[tuple[PathParts, ...]]:
    portion: list[PathParts] = []
    size = 0
    for path in paths:
        length = sum(len(part.encode("utf-8", "surrogatepass")) + 8 for part in path)
        if portion and size + length > MAX_PATHS:
            yield tuple(portion)
            portion, size = [], 0
        portion.append(path)
        size += length
    yield tuple(portion)


def _copies(sources: Sources, paths: Mapping[int, object]) -> dict[int, int]:
    """Second copies of these events with the same content, and the first ones."""
    return {
        position: first
        for position, first in sources.log.execute(_COPIES)
        if first in paths and sources.payload(first) == sources.payload(position)
    }


def _salted(payload: bytes) -> bool:
    with contextlib.suppress(EventDecodeError):
        return bool(decode_event(payload).salt)
    return False
