"""HighwayHash with 64 bits: the checksum that nats-server keeps with every message of a stream's block files.

After the description of Alakuijala, Cox and Wassenberg, "Fast keyed hash/pseudo-random function using SIMD multiply
and permute" (arXiv:1612.06257). In plain Python: about 7 µs for 32 bytes.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from operator import itemgetter

PACKET = 32
"""Bytes taken at once: four lanes of 64 bits."""

_MASK, _LOW = (1 << 64) - 1, (1 << 32) - 1
_INIT_0 = (0xDBE6D5D5FE4CCE2F, 0xA4093822299F31D0, 0x13198A2E03707344, 0x243F6A8885A308D3)
_INIT_1 = (0x3BD39E10CB0EF593, 0xC0ACF169B5F18A8C, 0xBE5466CF34E90C6C, 0x452821E638D01377)
_ZIPPER = (3, 12, 2, 5, 14, 1, 15, 0, 11, 4, 10, 13, 9, 6, 8, 7)

_lanes = struct.Struct("<4Q")
_zipped = itemgetter(*_ZIPPER, *[16 + byte for byte in _ZIPPER])

_Lanes = tuple[int, int, int, int]
_State = tuple[_Lanes, _Lanes, _Lanes, _Lanes]


class HighwayHash64:
    """The hash under one key of 32 bytes."""

    def __init__(self, key: bytes) -> None:
        lanes = _lanes.unpack(key)
        self._start: _State = (
            _four([init ^ lane for init, lane in zip(_INIT_0, lanes, strict=True)]),
            _four([init ^ _halves_swapped(lane) for init, lane in zip(_INIT_1, lanes, strict=True)]),
            _INIT_0,
            _INIT_1,
        )

    def digest(self, data: bytes) -> bytes:
        """The hash of `data`: 8 bytes, little-endian."""
        whole = len(data) - len(data) % PACKET
        state = self._start
        for packet in _lanes.iter_unpack(data[:whole]):
            state = _update(state, packet)
        if whole < len(data):
            state = _with_rest(state, data[whole:])
        for _ in range(4):
            a, b, c, d = state[0]
            state = _update(state, _four([_halves_swapped(lane) for lane in (c, d, a, b)]))
        v0, v1, m0, m1 = state
        return ((v0[0] + v1[0] + m0[0] + m1[0]) & _MASK).to_bytes(8, "little")


def _update(state: _State, packet: Sequence[int]) -> _State:
    # Written out lane by lane: a loop over the lanes takes twice the time.
    (a0, a1, a2, a3), (b0, b1, b2, b3), (m0, m1, m2, m3), (n0, n1, n2, n3) = state
    p0, p1, p2, p3 = packet
    b0, b1, b2, b3 = b0 + p0 + m0 & _MASK, b1 + p1 + m1 & _MASK, b2 + p2 + m2 & _MASK, b3 + p3 + m3 & _MASK
    m0 ^= (b0 & _LOW) * (a0 >> 32)
    m1 ^= (b1 & _LOW) * (a1 >> 32)
    m2 ^= (b2 & _LOW) * (a2 >> 32)
    m3 ^= (b3 & _LOW) * (a3 >> 32)
    a0, a1, a2, a3 = a0 + n0 & _MASK, a1 + n1 & _MASK, a2 + n2 & _MASK, a3 + n3 & _MASK
    n0 ^= (a0 & _LOW) * (b0 >> 32)
    n1 ^= (a1 & _LOW) * (b1 >> 32)
    n2 ^= (a2 & _LOW) * (b2 >> 32)
    n3 ^= (a3 & _LOW) * (b3 >> 32)
    z0, z1, z2, z3 = _lanes.unpack(bytes(_zipped(_lanes.pack(b0, b1, b2, b3))))
    a0, a1, a2, a3 = a0 + z0 & _MASK, a1 + z1 & _MASK, a2 + z2 & _MASK, a3 + z3 & _MASK
    z0, z1, z2, z3 = _lanes.unpack(bytes(_zipped(_lanes.pack(a0, a1, a2, a3))))
    b0, b1, b2, b3 = b0 + z0 & _MASK, b1 + z1 & _MASK, b2 + z2 & _MASK, b3 + z3 & _MASK
    return (a0, a1, a2, a3), (b0, b1, b2, b3), (m0, m1, m2, m3), (n0, n1, n2, n3)


def _with_rest(state: _State, rest: bytes) -> _State:
    """Take the last bytes, fewer than a packet."""
    size = len(rest)
    v0 = _four([lane + (size << 32) + size & _MASK for lane in state[0]])
    v1 = _four([_rotated(lane >> 32, size) << 32 | _rotated(lane & _LOW, size) for lane in state[1]])
    words, odd = rest[: size & ~3], rest[size & ~3 :]
    packet = bytearray(PACKET)
    packet[: len(words)] = words
    if size & 16:
        packet[28:] = rest[-4:]
    elif odd:
        packet[16:19] = odd[0], odd[len(odd) >> 1], odd[-1]
    return _update((v0, v1, *state[2:]), _lanes.unpack(packet))


def _rotated(half: int, bits: int) -> int:
    return (half << bits | half >> (32 - bits)) & _LOW


def _halves_swapped(lane: int) -> int:
    return (lane >> 32) | (lane & _LOW) << 32


def _four(lanes: Sequence[int]) -> _Lanes:
    a, b, c, d = lanes
    return a, b, c, d
