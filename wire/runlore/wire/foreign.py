"""What answers where no NATS server does: another kind of server, one that wants TLS first, or one that is only slow.

A NATS server speaks first. One that is silent, which may be a busy one, is asked on a second connection, in words that
most other kinds of servers answer at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any
from urllib.parse import urlsplit

from runlore.schemas.errors import ForeignServerError

SILENT_SECONDS = 0.6
"""A server that has not introduced itself after this long is looked at."""
_GREETING_SECONDS, _ANSWER_SECONDS = 0.2, 1.0
_QUESTION = b"GET / HTTP/1.0\r\n\r\n"
_TLS_ALERT = b"\x15\x03"
_DEFAULT_PORT = 4222


class TlsFirstError(ForeignServerError):
    """The server seems to want TLS before anything is said (`handshake_first`)."""


async def unless_foreign(
    connecting: Coroutine[Any, Any, None],
    introduced: Callable[[], bool],
    servers: Sequence[str],
    on_silence: Callable[[str], Awaitable[None]],
    tls: ssl.SSLContext | None = None,
) -> None:
    """Wait for a connection attempt, unless other servers answer at all of the addresses: then their error is raised.

    `introduced`: whether a NATS server has told who it is. `on_silence` is called with what to tell a person where
    nothing has answered yet. `tls`: for an attempt that begins with TLS.
    """
    attempt = asyncio.ensure_future(connecting)
    look: asyncio.Task[ForeignServerError | None] | None = None
    try:
        await asyncio.wait({attempt}, timeout=SILENT_SECONDS)
        if not attempt.done() and not introduced():
            look = asyncio.create_task(foreign_server(servers, tls))
            await asyncio.wait({attempt, look}, return_when=asyncio.FIRST_COMPLETED)
            if not attempt.done() and not introduced():
                if (error := look.result()) is not None:
                    raise error
                named = ", ".join(map(_host, servers))
                await on_silence(f"no answer yet from {named}: a NATS server there is busy, hangs or is out of reach")
        await attempt
    finally:
        for task in (attempt, look):
            if task is not None and not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)


async def foreign_server(servers: Sequence[str], tls: ssl.SSLContext | None = None) -> ForeignServerError | None:
    """Return the error for addresses at each of which something else answers; None where that cannot be told."""
    if any(urlsplit(url).scheme in ("ws", "wss") for url in servers):
        return None  # which is HTTP, at first
    found = await asyncio.gather(*(_first_bytes(url, tls) for url in servers))
    if any(first is None or first.startswith(b"INFO ") or (tls and not first) for first in found):
        return None
    named = ", ".join(f"{_host(url)} {_described(first or b'')}" for url, first in zip(servers, found, strict=True))
    kind = TlsFirstError if all(map(_wants_tls, found)) else ForeignServerError
    return kind(f"no NATS server answers: {named}")


async def _first_bytes(url: str, tls: ssl.SSLContext | None) -> bytes | None:
    """The beginning of what a server says, unasked or asked; empty where it hangs up, None where nobody tells."""
    host, port = _place(url)
    with contextlib.suppress(OSError):  # TimeoutError among them
        async with asyncio.timeout(_ANSWER_SECONDS):
            reader, writer = await asyncio.open_connection(host, port, ssl=tls)
            try:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_GREETING_SECONDS):
                        return await reader.read(64) or None
                writer.write(_QUESTION)
                return await reader.read(64)
            finally:
                writer.close()
    return None


def _wants_tls(first: bytes | None) -> bool:
    return not first or first.startswith(_TLS_ALERT)


def _described(first: bytes) -> str:
    if first.startswith(b"HTTP/"):
        return "speaks HTTP, as a page or a NATS server's monitoring port does"
    if _wants_tls(first):
        return "hangs up on who does not begin with TLS"
    begins = first.decode("latin-1").partition("\r")[0].partition("\n")[0]
    return f"is another kind of server, which begins with {begins!r}"


def _host(url: str) -> str:
    return urlsplit(url).netloc or url


def _place(url: str) -> tuple[str | None, int]:
    parts = urlsplit(url)
    return parts.hostname, parts.port or _DEFAULT_PORT
