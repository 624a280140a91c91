"""Slowing down who tries tokens: a pause between attempts, per address and for all together.

Attempts wait for their turn in the event loop's time, holding no thread. Whoever would wait too long is refused at
once. Memory is bounded: the addresses that failed longest ago are forgotten first.
"""

from __future__ import annotations

import ipaddress
import time
from collections import OrderedDict
from collections.abc import Callable

FREE = 3
"""Failed attempts of one address before it has to wait: people mistype."""
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 8.0
"""Seconds between two attempts; doubled with each failure."""
ALL_FREE, ALL_PAUSE = 100, 0.1
"""The same for all addresses together, where an attack comes from many: a pause that does not grow."""
LONGEST_WAIT = 10.0
FORGET_SECONDS = 600.0
MAX_ADDRESSES = 1000


class _Attempts:
    """The failed attempts of one address, or of all."""

    __slots__ = ("failures", "last", "next_at")

    def __init__(self, now: float) -> None:
        self.failures, self.last, self.next_at = 0, now, now


class LoginThrottle:
    """For the event loop's thread only."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._addresses: OrderedDict[str, _Attempts] = OrderedDict()
        self._all = _Attempts(clock())

    def wait(self, address: str) -> float | None:
        """Return the seconds until an attempt may be looked at; None when it is refused. Reserves the time."""
        now = self._clock()
        own = self._addresses.get(_network(address))
        slots = [(self._all, ALL_PAUSE if self._recent(self._all, now) >= ALL_FREE else 0.0)]
        if own is not None:
            slots.append((own, _pause(self._recent(own, now))))
        begin = max(now, *(attempts.next_at for attempts, pause in slots if pause), now)
        if begin - now > LONGEST_WAIT:
            return None
        for attempts, pause in slots:
            attempts.next_at = begin + pause
        return begin - now

    def failed(self, address: str) -> None:
        """Note a failed attempt."""
        now, network = self._clock(), _network(address)
        own = self._addresses.pop(network, None) or _Attempts(now)
        self._addresses[network] = own
        while len(self._addresses) > MAX_ADDRESSES:
            self._addresses.popitem(last=False)
        for attempts in (own, self._all):
            attempts.failures, attempts.last = self._recent(attempts, now) + 1, now
        own.next_at = max(own.next_at, now + _pause(own.failures))

    def succeeded(self, address: str) -> None:
        """Forget the failures of an address."""
        self._addresses.pop(_network(address), None)

    def _recent(self, attempts: _Attempts, now: float) -> int:
        if now - attempts.last > FORGET_SECONDS:
            attempts.failures = 0
        return attempts.failures


def _pause(failures: int) -> float:
    return 0.0 if failures < FREE else min(FIRST_PAUSE * 2.0 ** min(failures - FREE, 10), LONGEST_PAUSE)


def _network(address: str) -> str:
    """Return the address, for IPv6 the network of its owner, who has as many addresses as he likes."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address[:100]
    return str(ipaddress.ip_network((found, 64), strict=False)) if found.version == 6 else str(found)
