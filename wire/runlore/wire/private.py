"""The private parts of nats-py that Runlore uses: all of them, and only here.

Each has a measured reason, at its caller. Without the first two of them Runlore is slower and works; the others it
needs. nats-py may change any of them in a minor version: tests/projector/test_private_nats.py says so then.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from nats.aio.client import Client as NatsConnection

ParseHeaders = Callable[[bytes], Awaitable[dict[str, Any] | None]]
AWAITING_LINE = 1
"""The parser's state between two messages."""


def protocol_parser(connection: NatsConnection) -> Any:
    """Return what reads the bytes of this connection: `await parse(data)`, `buf`, `state`. None if there is none."""
    return getattr(connection, "_ps", None)


def wrap_header_parser(connection: NatsConnection, wrap: Callable[[ParseHeaders], ParseHeaders]) -> None:
    """Replace the function that parses header blocks on this connection, if there is one."""
    parse: ParseHeaders | None = getattr(connection, "_process_headers", None)
    if parse is not None:
        connection._process_headers = wrap(parse)  # type: ignore[method-assign,assignment]  # pyright: ignore[reportPrivateUsage] -- see above


async def send_block(connection: NatsConnection, block: bytes) -> None:
    """Queue protocol lines to be written with the next flush."""
    await connection._send_command(block)  # pyright: ignore[reportPrivateUsage] -- see above


def before_signing_in(connection: NatsConnection, check: Callable[[], None]) -> None:
    """Call `check` when the server has introduced itself and before it is told anything; it may raise."""
    command = connection._connect_command  # pyright: ignore[reportPrivateUsage] -- see above

    def checked() -> bytes:
        check()
        return command()

    connection._connect_command = checked  # type: ignore[method-assign]  # pyright: ignore[reportPrivateUsage] -- see above


def server_info(connection: NatsConnection) -> dict[str, Any]:
    """Return what the server said about itself, also while the handshake fails."""
    return connection._server_info  # pyright: ignore[reportPrivateUsage] -- see above


async def drain_service(service: Any) -> None:
    """Take no more questions for a `nats.micro.service.Service`, and handle those that the server has sent.

    Its `stop` throws these away. It has no type here: whoever imports this room would load `nats.micro`.
    """
    for endpoint in service._endpoints:
        subscription = endpoint._subscription
        if subscription is not None:
            await subscription.drain()
