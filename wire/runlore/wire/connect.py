"""Connecting to NATS the same way everywhere. Imports nats-py: import this module only where it is used.

A connection never reconnects by itself: the embedded server's port changes between starts, and every
new connection needs its checks. Callers loop around `connect` with a `Backoff`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import nats
import nats.errors
from nats.aio.client import Client as NatsConnection

from runlore.schemas.errors import FolderError, ServerUnavailableError
from runlore.schemas.settings import Settings
from runlore.store.access import using
from runlore.store.folder import DataDir
from runlore.store.private_files import read_struct
from runlore.store.records import Endpoint

FIRST_RETRY_WAIT = 0.05
CONNECT_TIMEOUT = 10.0
"""Seconds for one attempt that a caller waits for. A loaded or distant server may take several to accept."""
MOST_PATIENCE = 60.0
"""Seconds for an attempt after several that took too long."""
PENDING_BYTES = 64 * 1024 * 1024

ErrorCallback = Callable[[Exception], Awaitable[None]]
ClosedCallback = Callable[[], Awaitable[None]]


class Backoff:
    """Waiting times between attempts: doubling from `first` to `most` seconds, with jitter."""

    def __init__(self, first: float = 0.1, most: float = 2.0) -> None:
        self._first, self._most = first, most
        self._next = first

    def reset(self) -> None:
        self._next = self._first

    def wait(self) -> float:
        """Seconds to wait before the next attempt."""
        seconds = self._next * random.uniform(0.75, 1.25)  # noqa: S311 -- jitter, not a secret
        self._next = min(self._next * 2, self._most)
        return seconds


def patience(settings: Settings, failures: int) -> float:
    """Seconds to give an attempt that nobody waits for, after `failures` ones.

    A slow server needs more time, not more attempts. Where there are several, the next one may be there at once.
    """
    several = settings.url is not None and "," in settings.url
    return min(MOST_PATIENCE, (3.0 if several else 20.0) * 2.0 ** min(failures, 5))


def server_options(settings: Settings) -> dict[str, Any]:
    """Return the server's address and login: RUNLORE_URL, or the embedded server of the data folder.

    Raises ServerUnavailableError when neither is known.
    """
    if settings.url:
        options: dict[str, Any] = {"servers": [url.strip() for url in settings.url.split(",") if url.strip()]}
        endpoint = read_struct(DataDir(settings.data_dir).endpoint, Endpoint)
        if settings.credentials:
            options["user_credentials"] = settings.credentials
        elif endpoint is not None and [_address(url) for url in options["servers"]] == [_address(endpoint.url)]:
            options |= {"user": endpoint.user, "password": endpoint.password}
        return options
    data = DataDir(settings.data_dir)
    endpoint = read_struct(data.endpoint, Endpoint)
    if endpoint is None:
        try:
            _look_at(data.endpoint)
        except FolderError as error:
            raise ServerUnavailableError(f"no server: {error}") from error
        raise ServerUnavailableError(
            f"no server: RUNLORE_URL is not set and no `runlore up` serves {settings.data_dir}"
        )
    return {"servers": [endpoint.url], "user": endpoint.user, "password": endpoint.password}


def _look_at(path: Path) -> None:
    """Raises FolderError for a file that is there, and another user's."""
    with using(path), contextlib.suppress(FileNotFoundError):
        path.open().close()


def _address(url: str) -> str:
    """Host and port, as nats-py understands them; with a user in it, it is not the bare address of a server."""
    bare = url.partition("://")[2] or url
    return bare.rstrip("/").replace("localhost", "127.0.0.1")


async def connect(
    settings: Settings,
    name: str,
    on_error: ErrorCallback,
    on_closed: ClosedCallback,
    timeout: float = CONNECT_TIMEOUT,  # noqa: ASYNC109 -- nats-py's own, for each of its steps
) -> NatsConnection:
    """One connection attempt, each of whose steps may take `timeout` seconds.

    `on_error` hears what nats-py only reports asynchronously (permission violations, slow consumers).
    Raises ServerUnavailableError with the reason.
    """
    options = server_options(settings)
    connection = NatsConnection()
    connected = False
    cause: Exception | None = None

    async def heard(error: Exception) -> None:
        nonlocal cause
        if connected:
            await on_error(error)
        else:
            cause = error  # nats-py raises only "no servers" in the end

    async def closed() -> None:
        if connected:
            await on_closed()

    try:
        await connection.connect(
            **options,
            name=name,
            allow_reconnect=False,
            # Without these, the first attempt at a server that is down is repeated for two minutes.
            max_reconnect_attempts=1,
            reconnect_time_wait=FIRST_RETRY_WAIT,  # type: ignore[arg-type]  # annotated int; a float works
            connect_timeout=timeout,  # type: ignore[arg-type]  # annotated int; a float works
            pending_size=PENDING_BYTES,
            error_cb=heard,
            closed_cb=closed,
        )
        if not connection.is_connected:  # nats-py takes an end of the stream in the handshake for a success
            raise ConnectionResetError("the server closed the connection")
    except asyncio.CancelledError:
        await connection.close()
        raise
    except (OSError, TimeoutError, nats.errors.Error) as error:
        await connection.close()
        reason = cause or error
        if "authorization" in str(reason).lower() or _wants_credentials(connection, reason):
            raise ServerUnavailableError(
                f"the NATS server refuses the connection: {reason}; give credentials (RUNLORE_CREDENTIALS), or "
                "the data folder whose `runlore up` started it"
            ) from error
        raise ServerUnavailableError(f"no NATS server answers: {str(reason) or type(reason).__name__}") from error
    connected = True
    return connection


def _wants_credentials(connection: NatsConnection, reason: Exception) -> bool:
    """Return whether a server that asked for credentials closed the connection instead of saying why.

    It says why and closes at once; with the client's next line still unread, the kernel resets the connection,
    and the reason is lost.
    """
    info = connection._server_info  # pyright: ignore[reportPrivateUsage] -- no public name for the server's INFO
    return bool(info.get("auth_required")) and isinstance(reason, ConnectionError)
