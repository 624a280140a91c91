"""What `connect` says of a handshake that fails. A real server decides the race between its error and its close as it
likes, so a socket of ours plays each outcome."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from pathlib import Path

import pytest

from runlore.schemas.errors import ServerUnavailableError
from runlore.schemas.settings import read_settings
from runlore.wire.connect import connect

RESET_ON_CLOSE = struct.pack("ii", 1, 0)


async def fail_handshake(folder: Path, *, auth: bool, error: bytes = b"", reset: bool = False) -> str:
    """The message of a connection whose server says INFO, reads once, says `error` and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        info = {"server_id": "S", "version": "2.14.0", "max_payload": 1048576, "auth_required": auth}
        writer.write(b"INFO " + json.dumps(info).encode() + b"\r\n")
        await reader.readuntil(b"\r\n")
        writer.write(error)
        await writer.drain()
        if reset:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        writer.close()

    async def hear(_: Exception) -> None: ...

    async def closed() -> None: ...

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        settings = read_settings({}, data_dir=folder, url=f"nats://127.0.0.1:{port}")
        with pytest.raises(ServerUnavailableError) as raised:
            await connect(settings, "test", hear, closed)
        return str(raised.value)


@pytest.mark.parametrize("reset", [True, False])
@pytest.mark.parametrize("error", [b"", b"-ERR 'Authorization Violation'\r\n"])
def test_a_server_that_wants_credentials_refuses_however_it_closes(tmp_path: Path, error: bytes, reset: bool) -> None:
    message = asyncio.run(fail_handshake(tmp_path, auth=True, error=error, reset=reset))
    assert "refuses the connection" in message
    assert "RUNLORE_CREDENTIALS" in message


@pytest.mark.parametrize("reset", [True, False])
def test_a_server_that_wants_none_and_closes_does_not_answer(tmp_path: Path, reset: bool) -> None:
    assert "no NATS server answers" in asyncio.run(fail_handshake(tmp_path, auth=False, reset=reset))
