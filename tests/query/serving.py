"""A query service beside a view, in a thread of the test's process."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from runlore.query.remote.service import serve
from runlore.schemas import Settings, read_settings
from tests.patience import PATIENCE


@contextmanager
def served(settings: Settings | None = None) -> Iterator[None]:
    """A query service in a thread of this process."""
    ready = threading.Event()

    async def run() -> None:
        answering = asyncio.Event()
        task = asyncio.current_task()
        assert task is not None
        tasks.append(task)
        waiting = asyncio.create_task(serve(settings or read_settings(), answering))
        await answering.wait()
        ready.set()
        try:
            await waiting
        finally:
            waiting.cancel()

    tasks = list[asyncio.Task[Any]]()

    def thread() -> None:
        with contextlib.suppress(asyncio.CancelledError):
            asyncio.run(run())

    running = threading.Thread(target=thread)
    running.start()
    assert ready.wait(PATIENCE)
    try:
        yield
    finally:
        tasks[0].get_loop().call_soon_threadsafe(tasks[0].cancel)
        running.join(PATIENCE)
