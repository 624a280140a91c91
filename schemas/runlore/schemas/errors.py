"""Every error Runlore raises on purpose.

RunloreError
├── ArgumentError            (ValueError)      an argument out of its range, or of the wrong type
│   ├── InvalidReferenceError                  a reference, name, version or path that does not parse
│   ├── MomentError                            a position or time that names no moment of the log
│   └── FilterError                            a filter, order or cursor of `find` that does not parse
├── MetadataTypeError        (TypeError)       a value that cannot be stored; names every path
├── EventTooLargeError       (ValueError)      one event over the size limit; names the largest keys
├── EventLimitError          (ValueError)      one event nests too deep, or is about too much at once
├── MissingContextError      (ValueError)      a call that does not say what it is about
├── SettingsError            (ValueError)      a RUNLORE_* variable that makes no sense
├── EventDecodeError         (ValueError)      bytes that are not an event this version knows
│   └── EventCostError     (EventLimitError)   bytes that are not decoded: they are beyond a limit
├── OutboxError              (OSError)         the local outbox cannot be opened or written
├── FolderError              (OSError)         a data folder that this user may not use, or that is none
├── ReceiptTimeoutError      (TimeoutError)    no acknowledgement, or not folded, in time
├── QueryTimeoutError        (TimeoutError)    a read took longer than it may
├── ServerUnavailableError   (ConnectionError) no NATS server answers
│   ├── AccessDeniedError                      the NATS server does not let this user in, or do this
│   ├── ForeignServerError                     no NATS server, but another kind of server answers
│   └── ServerTooOldError                      the NATS server's version is too old
├── NotFoundError            (LookupError)     no such entity, version, key, run or view
│   └── AmbiguousError                         a prefix or name that fits several
├── NotSentError                               the receipt's event will never have a position
├── StreamDriftError                           the stream's configuration is not ours
├── StreamMismatchError                        the stream is not the one this folder archived
├── FolderBusyError                            another process holds the folder
├── NewerSchemaError                           a file that a newer version of Runlore wrote
├── HeldError                                  what is to be erased is under a legal hold
├── LatestOnlyError                            only the latest is known, and the question is about the past
└── CorruptLogError                            a log.db or a view that contradicts itself

The rooms add subclasses where one error carries more (`MissingKeyError` of a mapping is also a KeyError).

Errors of other libraries become these in one place each:

- nats-py: `runlore.wire.failures` (a connection: ServerUnavailableError, AccessDeniedError);
- msgspec: `runlore.schemas.codec` (the bytes of an event: EventDecodeError);
- the system, about files and folders: `runlore.store.access` (FolderError);
- SQLite, for each kind of file: a view in `runlore.query.view.connection` (CorruptLogError, QueryTimeoutError), log.db
  in `runlore.store.sqlite` (CorruptLogError), an outbox in `runlore.producer.outboxes.outbox` (OutboxError).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class RunloreError(Exception):
    """Base of all errors Runlore raises on purpose."""

    def __reduce__(self) -> tuple[Any, ...]:
        # Not by the arguments of a subclass, which may be others than the message: errors come back from process pools.
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[RunloreError], args: tuple[Any, ...], state: dict[str, Any]) -> RunloreError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(state)
    return error


MAX_NAMED = 100
"""Offending values that one error names."""


class ArgumentError(RunloreError, ValueError):
    """An argument that is out of its range, of the wrong type, or does not parse."""


class InvalidReferenceError(ArgumentError):
    """An entity reference, name, version, project, path or text that cannot be stored."""


class MomentError(ArgumentError):
    """A position, time or phrase that names no moment of the log, or one this read cannot honour."""


class FilterError(ArgumentError):
    """A filter, an order or a cursor that `find` does not understand.

    `column` counts characters of `text` from 1, over line ends; None when no place is to blame.
    """

    def __init__(self, problem: str, text: str = "", column: int | None = None) -> None:
        self.problem, self.text, self.column = problem, text, column
        super().__init__(problem if column is None else f"{problem}, at {_place(text, column)}")


def _place(text: str, column: int) -> str:
    """The column, the line that holds it, and a caret below; long lines are cut around it."""
    before = text[: column - 1]
    start = before.rfind("\n") + 1
    line, at = text[start:].partition("\n")[0], column - 1 - start
    cut = max(0, at - 60)
    shown = "".join(char if char.isprintable() else " " for char in line[cut : cut + 100])
    number = f"line {before.count(chr(10)) + 1}, " if "\n" in text else ""
    return f"{number}column {at + 1}:\n  {shown}\n  {' ' * (at - cut)}^"


class MetadataTypeError(RunloreError, TypeError):
    """Some values cannot be stored. Nothing of the call was emitted.

    `paths` holds one `(path, reason)` pair for every offending value, the first 100 of more.
    """

    def __init__(self, paths: Sequence[tuple[str, str]]) -> None:
        self.paths = tuple(paths[:MAX_NAMED])
        listed = "; ".join(f"{path}: {reason}" for path, reason in self.paths)
        count = f"{len(paths)}" if len(paths) <= MAX_NAMED else f"more than {MAX_NAMED}"
        super().__init__(f"{count} metadata value(s) cannot be stored: {listed}. Nothing was logged.")


class EventTooLargeError(RunloreError, ValueError):
    """One event is over the size limit. Nothing was emitted.

    `largest` holds `(key, encoded bytes)` pairs, the largest first.
    """

    def __init__(self, size: int, limit: int, largest: Sequence[tuple[str, int]]) -> None:
        self.size, self.limit, self.largest = size, limit, tuple(largest)
        keys = ", ".join(f"{key!r} ({count:,} bytes)" for key, count in self.largest)
        super().__init__(
            f"the event has {size:,} bytes, the limit is {limit:,}. Largest keys: {keys}. "
            "Store the data as an artifact and log its Uri, or split the call. Nothing was logged."
        )


class EventLimitError(RunloreError, ValueError):
    """One event is beyond a limit of docs/events.md: depth, keys, entities, leaves. Nothing was emitted."""


class MissingContextError(RunloreError, ValueError):
    """The call does not say which entity it is about, and no context does."""


class SettingsError(RunloreError, ValueError):
    """A setting has a value that makes no sense."""


class EventDecodeError(RunloreError, ValueError):
    """Bytes that are not an event this version of Runlore knows."""


class EventCostError(EventDecodeError, EventLimitError):
    """Bytes that would cost more to decode than a limit of docs/events.md allows."""


class OutboxError(RunloreError, OSError):
    """The local outbox cannot be opened or written: the event is not stored."""


class ReceiptTimeoutError(RunloreError, TimeoutError):
    """The log did not acknowledge, or the view did not fold, an event in time."""


class QueryTimeoutError(RunloreError, TimeoutError):
    """A read of the view took longer than its caller allows."""


class NotSentError(RunloreError):
    """The event of this receipt has no position and will not get one by waiting."""


class ServerUnavailableError(RunloreError, ConnectionError):
    """No NATS server answers at the configured address."""


class AccessDeniedError(ServerUnavailableError):
    """The NATS server or the page refuses this user: wrong or missing credentials, or a subject it may not use."""


class ForeignServerError(ServerUnavailableError):
    """Another kind of server than NATS answers at the address."""


class ServerTooOldError(ServerUnavailableError):
    """The NATS server is older than what Runlore relies on. Nothing was sent to it."""


class StreamDriftError(RunloreError):
    """The stream exists with a configuration that is not the one Runlore needs."""


class StreamMismatchError(RunloreError):
    """The stream is not, or no longer, the one this folder has archived."""


class HeldError(RunloreError):
    """What is to be erased is under a legal hold, which the message names."""


class LatestOnlyError(RunloreError):
    """Only a client without `as_of` can answer this."""


class FolderBusyError(RunloreError):
    """Another process holds the lock of a folder only one may write."""


class NewerSchemaError(RunloreError):
    """A file was written by a newer version of Runlore, and this one may not know what it means."""


class FolderError(RunloreError, OSError):
    """A data folder, or a file in it, that this user may not use so, or that is no folder at all."""


class CorruptLogError(RunloreError):
    """A file of ours contradicts itself or the fence of its position."""


class NotFoundError(RunloreError, LookupError):
    """There is no such entity, version, key, run or view."""


class AmbiguousError(NotFoundError):
    """A prefix or name fits several entities."""
