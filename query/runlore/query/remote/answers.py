"""Answering one question from a view, in one read transaction."""

from __future__ import annotations

import inspect
import sys
import time
import traceback
from collections.abc import Awaitable, Callable
from typing import Any, NamedTuple

import msgspec

from runlore.query import entity_rows
from runlore.query.client import Client
from runlore.query.entity import Entity, entity_from_row, found_again
from runlore.query.remote.codec import Unpacker, pack
from runlore.query.remote.growth import Growth
from runlore.query.remote.methods import (
    CLIENT,
    ENTITY,
    INNER,
    MAX_ANSWER,
    MAX_SECONDS,
    Call,
    Reply,
    pack_error,
    subject,
    travels,
)
from runlore.query.remote.one_project import OneProject
from runlore.query.scope import Scope
from runlore.query.time.moment import NOW, Moment, check_clock
from runlore.query.view.connection import ViewReader
from runlore.query.waiting import wait_for
from runlore.query.watch.changes import Page, read_page
from runlore.query.watch.feed import feed
from runlore.query.watch.selection import Place, select
from runlore.schemas.errors import ArgumentError, NotFoundError, QueryTimeoutError, RunloreError
from runlore.schemas.shards import Shard
from runlore.schemas.visible import visible

QUICK_SECONDS = 0.02
"""Most reads take less than handing them to a thread, so each is tried first where questions arrive. Others wait
meanwhile, so it is given up after these seconds. SQLite keeps to them; decoding large values does not."""
THREADED_SECONDS = 10.0
"""After a try that took longer, its method goes to threads for a while."""

AnswerStep = Callable[[], bytes | None]
"""A part of an answer for a thread: the reply as it travels, or None for: not yet."""


class Asked(NamedTuple):
    """A question with its times, by the monotonic clock."""

    call: Call
    late: float
    """When the answer comes too late."""
    news_late: float
    """When it is answered that there is nothing new."""


class Answers:
    """Answers questions from one view. Safe in several threads."""

    def __init__(self, reader: ViewReader, shard: Shard = Shard()) -> None:  # noqa: B008 -- frozen
        """`shard`: on whose subjects questions come."""
        self._reader, self._shard = reader, shard
        self._growth = Growth(lambda: self._state()[0])
        self._threaded = dict[str, float]()
        """Until when methods go to threads, because one took long."""

    async def answer(
        self, address: str, data: bytes, run: Callable[[AnswerStep], Awaitable[bytes | None]]
    ) -> bytes | None:
        """The reply to a question that came on a subject, None to ask elsewhere; never raises for what it asks.

        `run` runs a step in a thread. A view that is behind what the asker has seen is waited for between steps, so
        that no thread is held meanwhile.
        """
        try:
            call = msgspec.msgpack.decode(data, type=Call)
            # The server lets a user use subjects: what a message says besides must not reach further.
            if address != subject(call.project, call.method, self._shard):
                raise ArgumentError("the question is not about the project and method of its subject")
        except (msgspec.DecodeError, ArgumentError) as error:
            return self._encoded(_failure((0, "", 0), ArgumentError(f"no question: {error}")))
        now = time.monotonic()
        asked = Asked(call, now + min(call.seconds, MAX_SECONDS), now + call.wait)
        if (reply := self._tried(asked)) is not None:
            return reply
        while (reply := await run(lambda: self._step(asked))) is None:
            if self._growth.over:
                return None
            wanted, now = max(call.at_least - 1, call.news_after), time.monotonic()
            until = asked.news_late if wanted == call.news_after and now < asked.news_late else asked.late
            await self._growth.beyond(wanted, min(until, asked.late) - now)
        return reply

    def hurry(self) -> None:
        """Wait for no more events: the service ends."""
        self._growth.end()

    def _tried(self, asked: Asked) -> bytes | None:
        """The answer of a quick try, or None."""
        started = time.monotonic()
        if started < self._threaded.get(asked.call.method, 0.0):
            return None
        reply = self._step(asked, QUICK_SECONDS)
        if (now := time.monotonic()) - started > QUICK_SECONDS:
            self._threaded[asked.call.method] = now + THREADED_SECONDS
        return reply

    def _step(self, asked: Asked, most: float = MAX_SECONDS) -> bytes | None:
        """The answer, or None: while it is waited for, and where it takes longer than `most`."""
        state, now, call = (0, "", 0), time.monotonic(), asked.call
        left = asked.late - now
        try:
            state = self._state()
            if state[0] < call.at_least:
                return None if left > 0 else self._encoded(_failure(state, _behind(state[0], call.at_least)))
            if state[0] <= call.news_after and now < min(asked.late, asked.news_late) and not self._growth.over:
                return None
            with self._reader.within(max(0.001, min(left, most))):
                state = self._state()
                found = self._encoded(Reply(*state, False, pack(self._result(call))))
        except QueryTimeoutError as error:
            return None if most < left else self._encoded(_failure(state, error))
        except Exception as error:  # noqa: BLE001 -- the supervised boundary: the asker raises it, the service goes on
            if not travels(error):
                # The asker hears only that the service failed. What it asked is not to act on a terminal.
                print(visible("".join(traceback.format_exception(error)), lines=True), file=sys.stderr)
            return self._encoded(_failure(state, error))
        if len(found) > MAX_ANSWER:
            told = QueryTimeoutError(f"the answer has {len(found):,} bytes, the limit is {MAX_ANSWER:,}: ask for less")
            return self._encoded(_failure(state, told))
        return found

    def _encoded(self, reply: Reply) -> bytes:
        reply.shard = self._reader.shard.number
        return msgspec.msgpack.encode(reply)

    def _state(self) -> tuple[int, str, int]:
        row = self._reader.one("SELECT position, epoch, fold_version FROM view_state")
        assert row is not None
        return row[0], row[1], row[2]

    def _result(self, call: Call) -> Any:
        moment = Moment(call.position, call.occurred)
        scope = Scope(self._reader, call.project, moment, check_clock(call.clock))  # type: ignore[arg-type]
        unpacker = Unpacker(lambda row, at, _: _entity(scope, row, at))
        args = [unpacker.read(arg) for arg in call.args]
        kwargs = {name: unpacker.read(arg) for name, arg in call.kwargs.items()}
        if call.entity is not None:
            return _called(unpacker.read(call.entity), ENTITY, call.method, args, kwargs)
        if call.method in INNER:
            return getattr(_Inner(scope), call.method)(*args, **kwargs)
        if call.method in vars(OneProject):
            return _called(OneProject(scope), CLIENT, call.method, args, kwargs)
        return _called(Client.over(scope), CLIENT, call.method, args, kwargs)


def _failure(state: tuple[int, str, int], error: Exception) -> Reply:
    return Reply(*state, True, pack_error(error))


def _behind(position: int, seen: int) -> QueryTimeoutError:
    return QueryTimeoutError(
        f"the query service reads up to event {position:,}, and you have seen event {seen:,}: "
        "is its projector running? See `runlore doctor`"
    )


def _called(thing: Any, allowed: frozenset[str], name: str, args: list[Any], kwargs: dict[str, Any]) -> Any:
    kind = thing.__class__
    if name not in allowed or not hasattr(kind, name):
        raise ArgumentError(f"{kind.__name__} has no {name!r} that a query service answers")
    if isinstance(inspect.getattr_static(kind, name), property):
        return getattr(thing, name)
    return getattr(thing, name)(*args, **kwargs)


def _entity(scope: Scope, row: list[Any], moment: Moment) -> Entity:
    """The entity of a row of another view, whose numbers are others. Raises NotFoundError, ArgumentError."""
    _, project, kind, run, name, version, reference, *_ = row
    if project != scope.project:
        raise ArgumentError(f"{reference} is of project {project!r}: a service answers for one project a call")
    found = entity_rows.named(scope.at(NOW), kind, run, name, version)
    if found is None:
        raise NotFoundError(f"no {reference} in project {project!r}")
    return entity_from_row(scope.at(moment), found)


class _Inner:
    """What a remote client asks besides the methods that its user calls."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    def state(self) -> tuple[int, int]:
        return self._scope._state()  # pyright: ignore[reportPrivateUsage] -- own

    def position_at(self, when: Any) -> int:
        return self._scope.position_at(when)

    def moment_of(self, when: Any, clock: Any) -> Moment:
        return self._scope.moment_of(when, clock)

    def again(self, kind: str, run: str, name: str, version: str) -> Entity:
        return found_again(self._scope, kind, run, name, version)

    def folded(self, what: str | int) -> int:
        return wait_for(self._scope, what, 0)

    def watch_start(self, what: Any, key: Any, kind: Any, since: Any) -> Place:
        return feed(self._scope, what, key, kind, since).place

    def watch_page(self, what: Any, key: Any, kind: Any, after: Any) -> Page:
        if not isinstance(after, Place):
            raise RunloreError("no place to go on after")
        return read_page(self._scope, select(self._scope, what, key, kind), after)
