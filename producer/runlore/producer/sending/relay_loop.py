"""The event loop of a relay."""

from __future__ import annotations

import asyncio
import socket
from typing import Any


class RelayLoop(asyncio.SelectorEventLoop):
    """An event loop that resolves names itself: at interpreter exit no thread pool takes work any more."""

    async def getaddrinfo(
        self, host: Any, port: Any, *, family: int = 0, type: int = 0, proto: int = 0, flags: int = 0
    ) -> Any:
        return socket.getaddrinfo(host, port, family, type, proto, flags)
