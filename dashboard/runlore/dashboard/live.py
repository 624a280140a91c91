"""Live: one look at the view for all visitors, told to each over server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from typing import NamedTuple

import anyio
import anyio.to_thread
import msgspec
from sse_starlette import EventSourceResponse, ServerSentEvent
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from runlore.query import Client
from runlore.query.activity import Touched, touched
from runlore.schemas.errors import RunloreError
from runlore.store.sqlite import sqlite

LOOK_SECONDS = 0.4
"""Between two looks at the view while someone listens."""
PING_SECONDS = 15
END_SECONDS = 1.0
"""How long a listener may take to read the end of its stream; less than the server waits for connections."""
MAX_LISTENERS = 50
MAX_NAMED = 200
"""Entities and projects that one message names; with more, pages reload whatever they show."""


class News(NamedTuple):
    """Where the log stands and which entities the events since the message before were about."""

    position: int
    lag: int | None
    references: list[str]
    """Of the page's own project."""
    projects: list[str]
    """Others that they were about."""
    all: bool
    """Whether there were more than are named."""


_NOTHING = Touched([], [], complete=True)

_Queue = asyncio.Queue[News | None]
"""What waits for one listener; None is the end."""


class Live:
    """Looks for what is new while someone listens, and tells all listeners."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._listeners: set[_Queue] = set()
        self._seen: int | None = None
        self._last = News(0, None, [], [], all=False)

    @asynccontextmanager
    async def running(self) -> AsyncGenerator[None]:
        """Look while entered."""
        task = asyncio.create_task(self._look())
        try:
            yield
        finally:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    async def answer(self, request: Request) -> Response:
        """The endpoint /live."""
        if len(self._listeners) >= MAX_LISTENERS:
            return PlainTextResponse("too many listeners: reload the page instead", 503)
        ending = anyio.Event()
        return EventSourceResponse(
            self._messages(ending), ping=PING_SECONDS, shutdown_event=ending, shutdown_grace_period=END_SECONDS
        )

    async def _messages(self, ending: anyio.Event) -> AsyncGenerator[ServerSentEvent]:
        """What one listener hears until the server begins to stop: a stream that is cut off instead is an error."""
        queue: _Queue = asyncio.Queue(maxsize=20)
        last = asyncio.create_task(_end(queue, ending))
        self._listeners.add(queue)
        try:
            yield _message(self._last._replace(references=[], projects=[], all=False))
            while (news := await queue.get()) is not None:
                yield _message(news)
        finally:
            self._listeners.discard(queue)
            last.cancel()

    async def _look(self) -> None:
        while True:
            if self._listeners:
                try:
                    news = await anyio.to_thread.run_sync(self.news)
                except (RunloreError, sqlite.Error, OSError):
                    news = None  # the view is being made, or locked for a moment; the next look finds it
                if news is not None:
                    self._tell(news)
            else:
                self._seen = None
            await asyncio.sleep(LOOK_SECONDS)

    def news(self) -> News | None:
        """What is new since the look before; None when nothing is."""
        with self._client.scope.reader.within(LOOK_SECONDS * 5):
            position, lag = self._client.position, self._client.lag
            known = self._seen
            fresh = known is not None and known < position
            about = touched(self._client.scope, known) if known is not None and fresh else _NOTHING
        self._seen = position  # only now: what a look that failed has found is still to be told
        if known is None or position < known:  # the first look, or a new view
            return News(position, lag, [], [], all=known is not None)
        if not fresh and lag == self._last.lag:
            return None
        named, others = about.references[:MAX_NAMED], about.projects[:MAX_NAMED]
        every = about.complete and len(named) == len(about.references) and len(others) == len(about.projects)
        return News(position, lag, named, others, not every)

    def _tell(self, news: News) -> None:
        self._last = news
        for queue in list(self._listeners):
            if queue.full():
                # A listener that sleeps gets one message that stands for all it has missed.
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait(news._replace(references=[], projects=[], all=True))
            else:
                queue.put_nowait(news)


async def _end(queue: _Queue, ending: anyio.Event) -> None:
    await ending.wait()
    await queue.put(None)


def _message(news: News) -> ServerSentEvent:
    return ServerSentEvent(msgspec.json.encode(news._asdict()).decode(), event="news", id=str(news.position))
