"""Answering one question from a view, in one read transaction."""

from __future__ import annotations

import inspect
import time
import traceback
from typing import Any

from runlore.query import entity_rows
from runlore.query.client import Client
from runlore.query.entity import Entity, entity_from_row
from runlore.query.remote.codec import Unpacker, pack
from runlore.query.remote.methods import CLIENT, ENTITY, INNER, MAX_SECONDS, Call, Reply, pack_error, travels
from runlore.query.scope import Scope
from runlore.query.time.moment import NOW, Moment, check_clock
from runlore.query.view.connection import ViewReader
from runlore.query.waiting import wait_for
from runlore.query.watch.changes import Page, read_page
from runlore.query.watch.feed import feed
from runlore.query.watch.selection import Place, select
from runlore.schemas.errors import ArgumentError, NotFoundError, QueryTimeoutError, RunloreError

_POLL_SECONDS = 0.005


class Answers:
    """Answers calls from one view. Safe in several threads."""

    def __init__(self, reader: ViewReader) -> None:
        self._reader = reader

    def answer(self, call: Call) -> Reply:
        """The reply to a call; never raises for what the call asks."""
        late = time.monotonic() + min(call.seconds, MAX_SECONDS)
        state = (0, "", 0)
        try:
            state = self._reached(call.at_least, late)
            with self._reader.within(max(0.001, late - time.monotonic())):
                state = self._state()
                return Reply(*state, False, pack(self._result(call)))
        except Exception as error:  # noqa: BLE001 -- the supervised boundary: the asker raises it, the service goes on
            if not travels(error):
                traceback.print_exception(error)  # the asker hears only that the service failed
            return Reply(*state, True, pack_error(error))

    def _state(self) -> tuple[int, str, int]:
        row = self._reader.one("SELECT position, epoch, fold_version FROM view_state")
        assert row is not None
        return row[0], row[1], row[2]

    def _reached(self, position: int, late: float) -> tuple[int, str, int]:
        """Wait for a position that the asker has seen elsewhere. Raises QueryTimeoutError."""
        while (state := self._state())[0] < position:
            if time.monotonic() >= late:
                raise QueryTimeoutError(
                    f"the query service reads up to event {state[0]:,}, and you have seen event {position:,}: "
                    "is its projector running? See `runlore doctor`"
                )
            time.sleep(_POLL_SECONDS)
        return state

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
        return _called(Client.over(scope), CLIENT, call.method, args, kwargs)


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

    def folded(self, what: str | int) -> int:
        return wait_for(self._scope, what, 0)

    def watch_start(self, what: Any, key: Any, kind: Any, since: Any) -> Place:
        return feed(self._scope, what, key, kind, since).place

    def watch_page(self, what: Any, key: Any, kind: Any, after: Any) -> Page:
        if not isinstance(after, Place):
            raise RunloreError("no place to go on after")
        return read_page(self._scope, select(self._scope, what, key, kind), after)
