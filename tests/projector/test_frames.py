"""Cutting the protocol into frames, whatever the pieces it comes in."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from nats.errors import ProtocolError
from nats.protocol.parser import Parser

from runlore.wire.frames import Frames

ACK = b"$JS.ACK.RUNLORE.mine.1.7.7.1700000000000000000.3"
HEADERS = b"NATS/1.0\r\nNats-Msg-Id: a\r\n\r\n"


def hmsg(subject: bytes, sid: int, reply: bytes, payload: bytes) -> bytes:
    sizes = b"%d %d" % (len(HEADERS), len(HEADERS) + len(payload))
    return b"HMSG %b %d %b%b\r\n%b%b\r\n" % (subject, sid, reply + b" " if reply else b"", sizes, HEADERS, payload)


BLOCK = b"".join(
    [
        hmsg(b"runlore.a", 1, ACK, b"one"),
        b"PING\r\n",
        b"MSG runlore.b 1 %b 5\r\n\r\ntw\n\r\n" % ACK,
        hmsg(b"_INBOX.x.1", 1, b"", b""),
        b"+OK\r\n",
        b"MSG other 2 11\r\nHMSG \r\nMSG \r\n",
        b"MSG other 2 $JS.ACK.RUNLORE.else.1.7.7.1700000000000000000.3 1\r\nx\r\n",
        hmsg(b"runlore.c", 1, ACK, b"x" * 3000),
        b"PONG\r\n",
    ]
)


class Connection:
    """What nats-py's parser calls, written down."""

    def __init__(self) -> None:
        self._ps = Parser(self)
        self.heard: list[Any] = []

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: bytes | None) -> None:
        self.heard.append((subject, reply, headers or b"", data))

    async def _process_ping(self) -> None:
        self.heard.append("ping")

    async def _process_pong(self) -> None:
        self.heard.append("pong")


def received(block: bytes, step: int, before: int = 0) -> tuple[list[Any], list[Any]]:
    """What goes straight to the consumer, and what to nats-py; `before`: bytes that came before the shortcut."""
    connection: Any = Connection()
    taken: list[tuple[bytes, bytes, bytes, bytes]] = []

    def take(*message: *tuple[bytes, bytes, bytes, bytes]) -> None:
        taken.append(message)

    async def receive() -> None:
        await connection._ps.parse(block[:before])
        frames = Frames(connection)
        frames.route("mine", take)
        for start in range(before, len(block), step):
            await connection._ps.parse(block[start : start + step])

    asyncio.run(receive())
    return taken, connection.heard


TAKEN = [
    (b"runlore.a", ACK, HEADERS, b"one"),
    (b"runlore.b", ACK, b"", b"\r\ntw\n"),
    (b"runlore.c", ACK, HEADERS, b"x" * 3000),
]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 50, 1000, 10_000])
def test_the_consumers_messages_are_taken_and_nats_py_gets_all_others(step: int) -> None:
    taken, heard = received(BLOCK, step)
    assert taken == TAKEN
    assert heard == [
        "ping",
        (b"_INBOX.x.1", b"", HEADERS, b""),
        (b"other", b"", b"", b"HMSG \r\nMSG "),
        (b"other", b"$JS.ACK.RUNLORE.else.1.7.7.1700000000000000000.3", b"", b"x"),
        "pong",
    ]


@pytest.mark.parametrize("before", range(1, 120, 7))
def test_it_may_begin_in_the_middle_of_a_message(before: int) -> None:
    taken, heard = received(BLOCK, 40, before)
    acked = [message for message in heard if message[1] == ACK]
    assert sorted(taken + acked) == TAKEN


@pytest.mark.parametrize("garbage", [b"MSG a 1 x\r\n", b"NONSENSE\r\n"])
def test_what_is_not_the_protocol_is_nats_pys_error(garbage: bytes) -> None:
    with pytest.raises(ProtocolError):
        received(BLOCK + garbage, 100)


def test_without_the_parser_it_does_nothing() -> None:
    connection: Any = object()

    def take(*message: bytes) -> None:
        raise AssertionError("nothing can come this way")

    Frames(connection).route("mine", take)
