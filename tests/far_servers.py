"""Servers that answer for folders, as readers on other machines ask: over NATS and over HTTP."""

from __future__ import annotations

import asyncio
import subprocess
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import uvicorn
from starlette.types import Receive, Scope, Send

from runlore.cli.server import find_program
from runlore.dashboard.app import create_app
from runlore.query import Client
from runlore.query.remote.service import serve
from runlore.query.scope import Scope as Reads
from runlore.query.view.connection import ViewReader
from runlore.schemas import read_settings
from runlore.schemas.settings import Settings
from tests.clusters import free_ports
from tests.patience import PATIENCE, until

if TYPE_CHECKING:  # it needs the `credentials` extra, which not every environment of tests has
    from tests.signing_in import Certificates

TOKEN = "a-token-of-the-page-that-nobody-guesses"
ACCOUNTS = 4000
"""Folders in one session at most."""


class Far(Protocol):
    """A server that answers for folders."""

    def url(self, where: Path) -> str:
        """The address at which a folder is answered for."""
        ...

    def close(self) -> None: ...


class Services:
    """Services in a thread, each in an account of one server."""

    def __init__(self, folder: Path) -> None:
        (self.port,) = free_ports(1)
        users = "\n".join(f'a{n}: {{ users: [{{ user: "a{n}", password: "pw" }}] }}' for n in range(ACCOUNTS))
        config = folder / "nats.conf"
        config.write_text(f'listen: "127.0.0.1:{self.port}"\nmax_payload: 2MB\naccounts {{\n{users}\n}}\n')
        self._process = subprocess.Popen(
            [find_program(None), "-c", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever)
        self._thread.start()
        self._known = dict[Path, tuple[str, asyncio.Task[None]]]()
        self._used = 0

    def url(self, where: Path) -> str:
        """The address at which a folder is answered for."""
        if where not in self._known:
            url = f"nats://a{self._used}:pw@127.0.0.1:{self.port}"
            self._used += 1
            settings = read_settings(url=url, data_dir=where, inbox_prefix="_INBOX")
            task = asyncio.run_coroutine_threadsafe(self._begin(settings), self._loop).result(PATIENCE)
            self._known[where] = url, task
        return self._known[where][0]

    async def _begin(self, settings: Settings) -> asyncio.Task[None]:
        ready = asyncio.Event()
        task = asyncio.create_task(serve(settings, ready))
        await ready.wait()
        return task

    def close(self) -> None:
        tasks = [task for _, task in self._known.values()]
        asyncio.run_coroutine_threadsafe(_end(tasks), self._loop).result(PATIENCE)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._process.terminate()
        self._process.wait()


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


class Pages:
    """Pages behind one port, each under a path as behind a proxy."""

    def __init__(self, tls: Certificates | None = None) -> None:
        self._scheme, files = "http", dict[str, Any]()
        if tls is not None:
            self._scheme, files = "https", {"ssl_certfile": tls.server, "ssl_keyfile": tls.server_key}
        config = uvicorn.Config(
            self._answer, port=0, log_level="error", lifespan="off", ws="none", interface="asgi3", **files
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run)
        self._thread.start()
        until(lambda: self._server.started)
        self.port: int = self._server.servers[0].sockets[0].getsockname()[1]
        self._known = dict[Path, str]()
        self._apps = dict[str, Any]()

    def url(self, where: Path) -> str:
        if where not in self._known:
            name = f"f{len(self._known)}"
            local = Client.over(Reads(ViewReader(where), "default"))
            self._apps[name] = create_app(local, {f"127.0.0.1:{self.port}"}, TOKEN)
            self._known[where] = f"{self._scheme}://:{TOKEN}@127.0.0.1:{self.port}/{name}"
        return self._known[where]

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        _, name, path = scope["path"].split("/", 2)
        inside = {**scope, "path": f"/{path}", "raw_path": b""}
        await self._apps[name](inside, receive, send)

    def close(self) -> None:
        self._server.should_exit = True
        self._thread.join(PATIENCE)
