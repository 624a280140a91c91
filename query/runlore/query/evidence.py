"""The raw event behind what is shown, and its proof: read from log.db, the archive that the projector keeps."""

from __future__ import annotations

import contextlib
import datetime as dt
from collections.abc import Generator
from typing import Any

import msgspec

from runlore.query.effect import EventErasure, Rejected, event_erasure, rejected_of
from runlore.query.scope import Scope
from runlore.query.view.budget import allowed
from runlore.query.view.events import signer_of
from runlore.schemas.codec import decode_event
from runlore.schemas.errors import CorruptLogError, EventDecodeError, NotFoundError
from runlore.schemas.events import Event
from runlore.schemas.signatures import Signer
from runlore.store.audit.checkpoint import Checkpoint, read_unchecked
from runlore.store.audit.erasure import erasure_of
from runlore.store.audit.leaf import LeafCoder, speaks_for
from runlore.store.audit.merkle import ProofStep, climb
from runlore.store.audit.proof import prove_event
from runlore.store.audit.stored_notes import newest_note
from runlore.store.audit.tree import StoredNodes, read_tree
from runlore.store.log_rows import LogRow
from runlore.store.private_files import read_struct
from runlore.store.records import LastVerify
from runlore.store.sqlite import log_error, open_raw_reader, sqlite

MAX_GAPS = 100
_EVENT_COST = 4
"""A byte of an event takes as long to decode and show as this number of bytes of JSON."""

_ROW = "SELECT event_id, recorded_ns, subject, headers, payload, duplicate_of FROM log WHERE position = ?"
_GAP = "SELECT first, last, reason FROM gaps WHERE first <= ? AND last >= ?"


class SignedCheckpoint(msgspec.Struct, frozen=True, kw_only=True):
    """The newest checkpoint of the log. Its signature was not checked here: `runlore audit verify` does."""

    origin: str
    size: int
    """Leaves it speaks for."""
    root: bytes
    note: str
    """The signed note (C2SP tlog-checkpoint), to be kept elsewhere."""
    signers: list[str]
    """Name and key ID, as public keys begin."""
    created: dt.datetime


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """That an event is in the log of a checkpoint (RFC 6962, 2.1.1), with what the proof computes on its way."""

    index: int
    """Of the event's leaf."""
    leaf: bytes
    steps: list[ProofStep]
    """From the leaf up; the last one gives the root."""
    checkpoint: SignedCheckpoint


class LoggedEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One message as it was archived, decoded and raw."""

    position: int
    event_id: str | None
    created: dt.datetime
    """The server's clock, UTC."""
    subject: str
    headers: bytes
    payload: bytes
    duplicate_of: int | None
    """The position of the first copy; this one was not folded."""
    event: Event | None
    """None when it cannot be decoded."""
    decode_error: str | None
    proof: Proof | None
    unproved: str | None
    """The reason why there is no proof."""
    tampered: bool
    """True if that is because the log does not fit its checkpoint."""
    signer: Signer | None
    """The key that signed it, and whom it proves; None if it is not signed, or not in effect."""
    rejected: Rejected | None
    """Why it had no effect; None if it had."""
    erasure: EventErasure | None
    """What erased values of it, if anything did."""


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Positions that the stream itself no longer held when they were archived, both ends included."""

    first: int
    last: int
    reason: str


class AuditState(msgspec.Struct, frozen=True, kw_only=True):
    """Archived and signed part of the log, and the result of the last verification."""

    epoch: str
    position: int
    """Everything up to here is archived."""
    leaves: int
    """Of the tree: events, second copies and gaps."""
    root: bytes
    """Of the current tree."""
    checkpoints: int
    checkpoint: SignedCheckpoint | None
    """The newest."""
    gaps: list[Gap]
    """The first hundred."""
    verify: LastVerify | None
    """Last result of `runlore audit verify` here: a note that it left, not evidence."""


def logged_event(scope: Scope, position: int) -> LoggedEvent:
    """The event at a position, of whichever project. Raises NotFoundError, CorruptLogError when the file is damaged."""
    if position > scope.moment.position:
        raise NotFoundError(f"event {position:,} is later than the moment of this client")
    with log_of(scope) as log:
        row = log.execute(_ROW, (position,)).fetchone()
        if row is None:
            raise NotFoundError(_absent(log, position))
        event_id, recorded_ns, subject, headers, payload, duplicate_of = row
        event, error = _decoded(payload)
        proof, unproved, tampered = _proof(log, position)
        erasure = event_erasure(erasure_of(log, position))
    text_id = None if event_id is None else _text(event_id)
    as_row = LogRow(position, text_id, recorded_ns, _text(subject), payload, duplicate_of)
    return LoggedEvent(
        position=position,
        event_id=text_id,
        created=_time(recorded_ns),
        subject=as_row.subject,
        headers=headers,
        payload=payload,
        duplicate_of=duplicate_of,
        event=event,
        decode_error=error,
        proof=proof,
        unproved=unproved,
        tampered=tampered,
        signer=signer_of(scope.reader, position),
        rejected=rejected_of(scope.reader, as_row),
        erasure=erasure,
    )


def audit_state(scope: Scope) -> AuditState:
    """Return the state of the audit. Raises NotFoundError where there is no log, or one without a tree yet."""
    with log_of(scope) as log:
        covered, tree = read_tree(log)
        rows = log.execute("SELECT first, last, reason FROM gaps ORDER BY first LIMIT ?", (MAX_GAPS,)).fetchall()
        state = AuditState(
            epoch=_log_name(log)[0],
            position=covered,
            leaves=tree.size,
            root=tree.root(),
            checkpoints=log.execute("SELECT count(*) FROM checkpoints").fetchone()[0],
            checkpoint=_newest(log),
            gaps=[Gap(first=first, last=last, reason=_text(reason)) for first, last, reason in rows],
            verify=None,
        )
    return msgspec.structs.replace(state, verify=_last_verify(scope))


def _last_verify(scope: Scope) -> LastVerify | None:
    data = scope.reader.data
    try:
        return read_struct(data.verified, LastVerify) if data else None
    except OSError:  # left by an auditor who is another user
        return None


@contextlib.contextmanager
def log_of(scope: Scope) -> Generator[sqlite.Connection]:
    """A reader inside one transaction, which hands out TEXT as bytes; closed again at once."""
    data = scope.reader.data
    if data is None or not data.log.exists():
        raise NotFoundError("no log.db here: raw events and proofs are where the projector runs")
    connection = open_raw_reader(data.log)
    try:
        connection.execute("BEGIN")
        yield connection
    except sqlite.OperationalError as error:
        if "no such table" in str(error):
            raise NotFoundError("the log has no audit tree yet: start the projector once") from error
        raise
    except sqlite.DatabaseError as error:
        raise log_error(data.log, error) from error
    finally:
        connection.close()


def _absent(log: sqlite.Connection, position: int) -> str:
    gap = log.execute(_GAP, (position, position)).fetchone()
    if gap is not None:
        return f"events {gap[0]:,} to {gap[1]:,} are a gap in the stream: {_text(gap[2])}"
    return f"the log has no event {position:,}"


def _decoded(payload: bytes) -> tuple[Event | None, str | None]:
    if not allowed(len(payload) * _EVENT_COST):
        return None, f"its {len(payload):,} bytes are too many to be decoded for a page: download them"
    try:
        return decode_event(payload), None
    except EventDecodeError as error:
        return None, str(error)


def _proof(log: sqlite.Connection, position: int) -> tuple[Proof | None, str | None, bool]:
    """The proof; or why there is none, and whether that is a reason for alarm."""
    try:
        checkpoint = _newest(log)
        if checkpoint is None:
            return None, "the log has no signed checkpoint yet", False
        epoch, stream = _log_name(log)
        coder, nodes = LeafCoder(epoch, stream), StoredNodes(log)
        signed = Checkpoint(checkpoint.origin, checkpoint.size, checkpoint.root)
        if not speaks_for(signed.origin, epoch, stream):
            raise CorruptLogError(f"the checkpoint is of another log, {signed.origin}")
        event = prove_event(log, coder, nodes, signed, position)
    except NotFoundError as error:
        return None, str(error), False
    except CorruptLogError as error:
        return None, str(error), True
    except sqlite.OperationalError as error:
        if "no such table" not in str(error):
            raise
        return None, "the log has no audit tree yet: an older version made it", False
    leaf = event.leaf(coder)
    steps = climb(leaf, event.index, signed.size, event.proof)
    assert steps is not None  # prove_event gives out only what holds
    return Proof(index=event.index, leaf=leaf, steps=steps, checkpoint=checkpoint), None, False


def _newest(log: sqlite.Connection) -> SignedCheckpoint | None:
    stored = newest_note(log)
    if stored is None:
        return None
    checkpoint, signers = read_unchecked(stored.note)
    return SignedCheckpoint(
        origin=checkpoint.origin,
        size=checkpoint.size,
        root=checkpoint.root,
        note=stored.note,
        signers=signers,
        created=_time(stored.created_ns),
    )


def _log_name(log: sqlite.Connection) -> tuple[str, str]:
    """The epoch, and the stream's name."""
    row: tuple[Any, ...] | None = log.execute("SELECT epoch, stream FROM log_state").fetchone()
    if row is None:
        raise CorruptLogError("log.db has lost its state: `runlore audit verify` says more")
    return _text(row[0]), _text(row[1])


def _text(stored: bytes) -> str:
    return stored.decode("utf-8", "replace")


def _time(nanoseconds: int) -> dt.datetime:
    return dt.datetime.fromtimestamp(nanoseconds / 1e9, dt.UTC)
