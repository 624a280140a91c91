"""Live updates: one poll of the view for all visitors, sent to each over server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

import anyio
import anyio.to_thread
import msgspec
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

from runlore.dashboard.access import Access, access_of
from runlore.dashboard.connections import RETRY_SECONDS
from runlore.query import Client
from runlore.query.activity import Touched, touched
from runlore.schemas.errors import RunloreError
from runlore.schemas.visible import visible_json
from runlore.store.sqlite import sqlite

POLL_SECONDS = 0.4
"""Time between two polls of the view while someone listens."""
PING_SECONDS = 15
END_SECONDS = 1.0
"""Time for a listener to read the end of its stream; less than the server waits for connections."""
SEND_SECONDS = 30
"""Time for a listener to take a message; then its connection ends."""
MAX_LISTENERS = 50
"""Live pages at once. More are refused, and ask again."""
MAX_NAMED = 200
"""Maximum number of entities and projects in one message; with more, all pages reload."""


class News(NamedTuple):
    """One message: how far the log can be read, and the entities of the events since the previous message."""

    position: int
    lag: int | None
    references: list[str]
    """Entities of the server's own project."""
    projects: list[str]
    """Other projects that had events."""
    all: bool
    """True if there were more entities or projects than listed."""


_NOTHING = Touched([], [], complete=True)

_Queue = asyncio.Queue[News | None]
"""Messages that wait for one listener; None ends its stream."""


class LiveFeed:
    """Polls the view while someone listens, and sends news to all listeners."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._listeners: set[_Queue] = set()
        self._accepted = 0
        self._seen: int | None = None
        self._last = News(0, None, [], [], all=False)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Poll while entered."""
        task = asyncio.create_task(self._poll())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def answer(self, request: Request) -> Response:
        """Serve /live."""
        if self._accepted >= MAX_LISTENERS:
            retry = {"Retry-After": str(RETRY_SECONDS)}
            return PlainTextResponse("too many live connections: reload the page instead", 503, retry)
        self._accepted += 1  # at once: its stream begins only when the answer does
        ending, access = anyio.Event(), access_of(request)
        stream = EventSourceResponse(
            self._messages(ending, access),
            ping=PING_SECONDS,
            shutdown_event=ending,
            shutdown_grace_period=END_SECONDS,
            send_timeout=SEND_SECONDS,
        )
        return Accepted(stream, self._left)

    def _left(self) -> None:
        self._accepted -= 1

    async def _messages(self, ending: anyio.Event, access: Access) -> AsyncGenerator[ServerSentEvent]:
        """Yield the messages of one listener until the server stops or the listener may hear no more.

        A stream cut off instead would be an error.
        """
        queue: _Queue = asyncio.Queue(maxsize=20)
        last = asyncio.create_task(_end(queue, ending))
        self._listeners.add(queue)
        try:
            yield _message(self._last._replace(references=[], projects=[], all=False))
            while (news := await queue.get()) is not None and access.holds():
                if (seen := self._seen_by(access, news)) is not None:
                    yield _message(seen)
        finally:
            self._listeners.discard(queue)
            last.cancel()

    def _seen_by(self, access: Access, news: News) -> News | None:
        """Return the part of a message that a visitor sees; None if all of it is about projects that he does not."""
        if access.whole:
            return news
        references = news.references if access.sees(self._client.project) else []
        seen = news._replace(references=references, projects=access.seen(news.projects))
        hidden = (news.references or news.projects) and not (seen.references or seen.projects or seen.all)
        return None if hidden else seen

    async def _poll(self) -> None:
        while True:
            self._client.scope.reader.let_go()  # nobody may look at the page for days, and values may be erased
            if self._listeners:
                try:
                    news = await anyio.to_thread.run_sync(self.news)
                except (RunloreError, sqlite.Error, OSError):
                    news = None  # the view is being built or is locked; the next poll finds it
                if news is not None:
                    self._send(news)
            else:
                self._seen = None
            await asyncio.sleep(POLL_SECONDS)

    def news(self) -> News | None:
        """Return news since the previous poll; None if there are none."""
        with self._client.scope.reader.within(POLL_SECONDS * 5):
            position, lag = self._client.position, self._client.lag
            known = self._seen
            fresh = known is not None and known < position
            about = touched(self._client.scope, known) if known is not None and fresh else _NOTHING
        self._seen = position  # only now: news found by a poll that failed are still to be sent
        if known is None or position < known:  # the first poll, or a new view
            return News(position, lag, [], [], all=known is not None)
        if not fresh and lag == self._last.lag:
            return None
        named, others = about.references[:MAX_NAMED], about.projects[:MAX_NAMED]
        every = about.complete and len(named) == len(about.references) and len(others) == len(about.projects)
        return News(position, lag, named, others, not every)

    def _send(self, news: News) -> None:
        self._last = news
        for queue in list(self._listeners):
            if queue.full():
                # A slow listener gets one message that replaces all it has missed.
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(news._replace(references=[], projects=[], all=True))
            else:
                queue.put_nowait(news)


class Accepted(Response):
    """A stream that says when it is over, begun or not."""

    def __init__(self, stream: EventSourceResponse, left: Callable[[], None]) -> None:
        super().__init__()
        self.stream, self._left = stream, left

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self.stream(scope, receive, send)
        finally:
            self._left()


async def _end(queue: _Queue, ending: anyio.Event) -> None:
    await ending.wait()
    await queue.put(None)


def _message(news: News) -> ServerSentEvent:
    data = visible_json(msgspec.json.encode(news._asdict())).decode()
    return ServerSentEvent(data, event="news", id=str(news.position))
