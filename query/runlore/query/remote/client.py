"""The client of a query service: the Client whose methods, and those of its entities, are asked over NATS or HTTP."""

from __future__ import annotations

import functools
import inspect
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from runlore.query.client import Client
from runlore.query.entities import PipelineRun
from runlore.query.entity import Entity
from runlore.query.remote.codec import Unpacker, pack
from runlore.query.remote.http_line import HttpLine, site_of
from runlore.query.remote.line import Line
from runlore.query.remote.methods import CLIENT, ENTITY, NEEDS_FILES, Call, read_error
from runlore.query.remote.nats_line import NatsLine
from runlore.query.scope import Scope
from runlore.query.time.moment import AsOf, Clock, Moment, checked_moment
from runlore.query.waiting import POLL_SECONDS, HasEventId
from runlore.query.watch.changes import Page
from runlore.query.watch.feed import AsyncWatch, Feed, Watch
from runlore.query.watch.selection import Place
from runlore.schemas.errors import NotFoundError, ReceiptTimeoutError, RunloreError, SettingsError
from runlore.schemas.settings import read_settings

_TIMES = ("as_of", "since", "until", "when")
"""Arguments that are moments: a phrase means the asker's clock and zone."""
WATCH_SECONDS = 2.0
"""For which a service waits until there is something new to watch."""
AGAIN_SECONDS = 0.003
"""Between two such questions."""


class RemoteScope(Scope):
    """A scope whose view is a service's."""

    def ask(
        self, method: str, *args: Any, of: Entity | None = None, wait_after: tuple[int, float] = (0, 0.0), **kwargs: Any
    ) -> Any:
        """Ask, and return the result or raise the error of the answer.

        `wait_after`: a position up to which there is nothing new, and the seconds that the service may wait for more.
        """
        line = cast(Line, self.reader)
        kwargs = {name: _resolved(value) if name in _TIMES else value for name, value in kwargs.items()}
        call = Call(
            self.project, method, None if of is None else pack(of), [pack(arg) for arg in args],
            {name: pack(value) for name, value in kwargs.items()}, *self.moment, self.clock, 0, 0.0, *wait_after,
        )  # fmt: skip
        reply = line.ask(call)
        unpacker = Unpacker(lambda row, moment, name: remote_entity(self.at(moment), row, name))
        if reply.failed:
            raise read_error(reply.node, unpacker)
        return unpacker.read(reply.node)

    def _state(self) -> tuple[int, int]:
        return cast("tuple[int, int]", self.ask("state"))

    def position_at(self, when: AsOf) -> int:
        return int(self.ask("position_at", checked_moment(when)))

    def moment_of(self, when: AsOf, clock: Clock | None = None) -> Moment:
        return cast(Moment, self.ask("moment_of", checked_moment(when), clock))


def _resolved(when: Any) -> Any:
    return checked_moment(when) if isinstance(when, str) else when


def _named(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """All arguments by name. Raises TypeError as a call would."""
    try:
        given = inspect.signature(function).bind(None, *args, **kwargs).arguments
    except TypeError as error:
        raise TypeError(f"{function.__qualname__}() {error}") from None
    return dict(list(given.items())[1:])


def _asking(owner: type[Any], name: str) -> Any:
    """A property or method that asks the service."""
    local = inspect.getattr_static(owner, name)
    if isinstance(local, property):
        return property(lambda self: self._ask(name), doc=local.__doc__)

    @functools.wraps(local)
    def asked(self: Any, *args: Any, **kwargs: Any) -> Any:
        return self._ask(name, **_named(local, args, kwargs))

    return asked


@functools.cache
def _remote_class(base: Any) -> type[Entity]:
    """The class of a kind whose parts are asked for, each at the entity's own moment."""

    def ask(self: Entity, method: str, **kwargs: Any) -> Any:
        return cast(RemoteScope, self.scope).ask(method, of=self, **kwargs)

    def run_name(self: Any) -> str:
        if self._read_name is None:
            self._read_name = ask(self, "name")
        return str(self._read_name)

    def again(self: Entity) -> tuple[Any, ...]:
        _, _, kind, run, name, version, *_ = self._row  # pyright: ignore[reportPrivateUsage] -- own
        return _found_again, (self.scope, kind, run, name, version)

    parts = {name: _asking(base, name) for name in ENTITY - {"name"} if hasattr(base, name)}
    if issubclass(base, PipelineRun):
        parts["name"] = property(run_name, doc=PipelineRun.name.__doc__)
    return type(base.__name__, (base,), {**parts, "_ask": ask, "__reduce__": again, "__module__": base.__module__})


def _found_again(scope: RemoteScope, kind: str, run: str, name: str, version: str) -> Entity:
    """A pickled entity: the service may read another view by now, in which its number is another."""
    found: Entity = scope.ask("again", kind, run, name, version)
    return found


def remote_entity(scope: Scope, row: Any, name: str | None) -> Entity:
    """The entity of a service's row."""
    base = Entity._classes.get(row[2], Entity._classes[""])  # pyright: ignore[reportPrivateUsage] -- own
    kind: Any = base
    made = _remote_class(kind)(scope, tuple(row))
    if name is not None:
        vars(made)["_read_name"] = name
    return made


class RemoteFeed(Feed):
    """A feed that reads its pages from a service, whichever answers: the place is the asker's."""

    def __init__(self, scope: RemoteScope, wanted: tuple[Any, ...], since: Any) -> None:
        super().__init__(scope, cast(Any, None), scope.ask("watch_start", *wanted, _resolved(since)))
        self._wanted, self._waited = wanted, 0.0

    def _page(self, most: float) -> Page:
        scope, place = cast(RemoteScope, self._scope), self._read
        whole = place == Place(place.position)  # else there is more of that event
        wait = self._waited = min(most, WATCH_SECONDS) if whole else 0.0
        return cast(Page, scope.ask("watch_page", *self._wanted, place, wait_after=(place.position, wait)))

    @property
    def pause(self) -> float:
        """Short where the service has waited."""
        return min(AGAIN_SECONDS, super().pause) if self._waited else super().pause


class RemoteClient(Client):
    """The same reads from afar. Made by `Client("nats://…")` and `Client("https://…")`."""

    @staticmethod
    def _scope_of(where: str | Path | None, project: str | None, clock: Clock, token: str | None) -> Scope:
        settings = read_settings(project=project)
        address = str(where or settings.url)
        if address.partition("://")[0] in ("http", "https"):
            line: Line = HttpLine(site_of(address, token, settings))
        elif token is not None:
            raise SettingsError(
                "token= opens the page at https://…, and signs nobody in to NATS: write it into the address "
                "(nats://token@host:4222), or set RUNLORE_CREDENTIALS or RUNLORE_NKEY"
            )
        else:
            line = NatsLine(read_settings(project=project, url=address))
        return RemoteScope(cast(Any, line), settings.project, clock=clock)

    def _ask(self, method: str, **kwargs: Any) -> Any:
        return cast(RemoteScope, self.scope).ask(method, **kwargs)

    def wait_for(self, what: HasEventId | str | int, timeout: float = 10.0) -> int:
        wanted = what if isinstance(what, int | str) else what.event_id
        late, pause = time.monotonic() + timeout, POLL_SECONDS
        while True:
            try:
                found = int(cast(RemoteScope, self.scope).ask("folded", wanted))
            except (ReceiptTimeoutError, NotFoundError):
                if time.monotonic() >= late:
                    raise ReceiptTimeoutError(
                        f"{what!r} cannot be read after {timeout:g} s: is the projector running? See `runlore doctor`"
                    ) from None
            else:
                cast(Line, self.scope.reader).saw(found)
                return found
            time.sleep(pause)
            pause = min(0.05, pause * 1.5)

    def watch(
        self, what: Any = None, *, key: Any = None, kind: Any = None, since: Any = None, timeout: Any = None
    ) -> Any:
        return Watch(RemoteFeed(cast(RemoteScope, self.scope), (what, key, kind), since), timeout)

    def watch_async(
        self, what: Any = None, *, key: Any = None, kind: Any = None, since: Any = None, timeout: Any = None
    ) -> Any:
        return AsyncWatch(RemoteFeed(cast(RemoteScope, self.scope), (what, key, kind), since), timeout)


def _refused(name: str, reason: str) -> Any:
    def refused(self: Any, *_: Any, **__: Any) -> Any:
        raise RunloreError(f"{name}() is not answered by a query service ({reason}): use a client beside the projector")

    return refused


for _name in CLIENT:
    setattr(RemoteClient, _name, _asking(Client, _name))
for _name, _reason in NEEDS_FILES.items():
    setattr(RemoteClient, _name, _refused(_name, _reason))
