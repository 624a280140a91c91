"""The ledger: what an outbox knows of its way, beside the events: where they go, and what became of them.

An acknowledged event stays in the outbox until the archive has it, when that is asked for. Rows up to the ledger's last
acknowledged number wait for nothing but that; all others wait to be sent. Every change is a record that is appended to
the outbox's journal; the state is what the records come to.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

import msgspec

from runlore.producer.outboxes.journal import Journal
from runlore.producer.outboxes.rows import DeadLetter, Row
from runlore.schemas.errors import OutboxError
from runlore.wire.archived import StoredRange


class Destination(NamedTuple):
    """For whom an outbox's events are. None: not known; older versions did not keep it."""

    server: str | None = None
    """As `destinations.server_key` names it."""
    project: str | None = None
    epoch: str | None = None
    """Of the stream, once it is known."""


NOWHERE = Destination()


class Acknowledged(NamedTuple):
    """Rows that follow each other in the outbox, stored at consecutive positions."""

    last: int
    """Number of the last row."""
    bytes: int
    """Of their payloads."""
    at: float
    """When the stream acknowledged them, Unix seconds."""
    positions: StoredRange


class Letter(NamedTuple):
    """A dead letter with what it takes to send it again."""

    seq: int
    subject: str
    payload: bytes
    reason: str
    at: float


class _Record(msgspec.Struct, frozen=True, array_like=True, tag=True):
    """Base of what stands in a journal. Later versions may append fields."""


class _To(_Record, frozen=True, tag="to"):
    destination: Destination


class _InShard(_Record, frozen=True, tag="shard"):
    number: int


class _Kept(_Record, frozen=True, tag="kept"):
    ranges: list[Acknowledged]


class _Gone(_Record, frozen=True, tag="gone"):
    last: int


class _Rewound(_Record, frozen=True, tag="rewound"):
    last: int


class _Refused(_Record, frozen=True, tag="refused"):
    letters: list[Letter]
    skipped: list[int]
    """Numbers of which nothing is sent from here any more, those of the letters included."""


class _Retried(_Record, frozen=True, tag="retried"):
    """The dead letters are in another outbox."""


class Began(_Record, frozen=True, tag="began"):
    """What an outbox says of itself without a journal: its segments, or its file of an older version."""

    destination: Destination = NOWHERE
    kept: list[Acknowledged] = []
    letters: list[Letter] = []


_AnyRecord = Began | _To | _InShard | _Kept | _Gone | _Rewound | _Refused | _Retried
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(_AnyRecord).decode


class Ledger:
    """The ledger of one outbox. For one thread."""

    def __init__(self, journal: Journal, began: Began) -> None:
        """`began` is the state before the journal's first record. Raises OutboxError for records not known here."""
        self._journal = journal
        self._destination = NOWHERE
        self.shard: int | None = None
        """The shard of the project, kept if it is another than 0. With a known epoch, none means shard 0."""
        self._kept: list[Acknowledged] = []
        self.gone = 0
        """Rows up to this number have left."""
        self.letters: dict[int, Letter] = {}
        self.skipped: set[int] = set()
        """Numbers of rows that are not sent, because they are or were dead letters."""
        self._unwritten: Began | None = began
        self._apply(began)
        for body in journal.read():
            self._unwritten = None
            try:
                self._apply(_decode(body))
            except msgspec.MsgspecError:
                raise OutboxError("its journal was written by a newer version of Runlore") from None

    def destination(self) -> Destination:
        return self._destination

    def set_destination(self, destination: Destination) -> None:
        self._do(_To(destination))

    def set_shard(self, number: int) -> None:
        self._do(_InShard(number))

    def kept(self) -> list[Acknowledged]:
        """What is acknowledged and not archived, oldest first."""
        return list(self._kept)

    @property
    def acknowledged(self) -> int:
        """Rows up to this number do not wait to be sent."""
        return self._kept[-1].last if self._kept else self.gone

    def keep(self, ranges: Iterable[Acknowledged]) -> None:
        """Note rows as acknowledged."""
        new = list(ranges)
        if new:
            self._do(_Kept(new))

    def leave(self, last: int) -> None:
        """Rows up to number `last` need no longer be here."""
        if last > self.gone:
            self._do(_Gone(last))

    def rewind(self, last: int) -> None:
        """Rows after number `last` must be sent again."""
        self._do(_Rewound(last))

    def add_dead_letters(self, rows: Iterable[Row], reason: str, at: float) -> None:
        """The server will never take these rows."""
        letters = [Letter(row.seq, row.subject, row.payload, reason, at) for row in rows]
        self._do(_Refused(letters, [letter.seq for letter in letters]))

    def retried(self) -> None:
        """What was dead is in another outbox now."""
        self._do(_Retried())

    def take_letters(self, letters: list[Letter]) -> None:
        """Have dead letters of another outbox."""
        self._do(_Refused(letters, []))

    def dead_letters(self) -> list[DeadLetter]:
        found = sorted(self.letters.values())
        return [DeadLetter(letter.seq, letter.subject, letter.reason, letter.at) for letter in found]

    def close(self) -> None:
        self._journal.close()

    def _do(self, record: _AnyRecord) -> None:
        if self._unwritten is not None:
            self._journal.append(_encode(self._unwritten))
            self._unwritten = None
        self._journal.append(_encode(record))
        self._apply(record)
        if self._journal.is_long:
            self._journal.rewrite([_encode(one) for one in self._state()])

    def _apply(self, record: _AnyRecord) -> None:
        match record:
            case Began(destination, kept, letters):
                self._destination, self._kept = destination, list(kept)
                self.letters = {letter.seq: letter for letter in letters}
            case _To(destination):
                self._destination = destination
            case _InShard(number):
                self.shard = number
            case _Kept(ranges):
                self._kept += ranges
            case _Gone(last):
                self.gone = max(self.gone, last)
                self._kept = [one for one in self._kept if one.last > last]
                self.skipped = {seq for seq in self.skipped if seq > last}
            case _Rewound(last):
                self._kept = [one for one in self._kept if one.last <= last]
            case _Refused(letters, skipped):
                self.letters.update((letter.seq, letter) for letter in letters)
                self.skipped.update(skipped)
            case _Retried():
                self.letters = {}

    def _state(self) -> list[_AnyRecord]:
        """Records that come to the same."""
        return [
            _To(self._destination),
            *([] if self.shard is None else [_InShard(self.shard)]),
            _Gone(self.gone),
            _Kept(self._kept),
            _Refused(list(self.letters.values()), sorted(self.skipped)),
        ]
