"""The line to a query service: questions from any thread, asked again where they get lost."""

from __future__ import annotations

import os
import threading
import time
import weakref
from abc import ABC, abstractmethod
from contextlib import AbstractContextManager, nullcontext
from typing import NoReturn

import msgspec

from runlore.query.remote.methods import Call, Reply
from runlore.schemas.errors import QueryTimeoutError, RunloreError, ServerUnavailableError, StreamMismatchError
from runlore.schemas.shards import Shard

SECONDS = 10.0
"""For one question with its answer."""
NOBODY_SECONDS = 3.0
"""For which a service that never answered is waited for. One that did may be starting again, and has all the time."""
_AGAIN_SECONDS = 0.05


class LostError(Exception):
    """The connection ended, or nobody listened: ask again, soon."""


class SilentError(Exception):
    """A service took the question and is heard no more, or a kept connection has ended: ask again, at once."""


class Line(ABC):
    """Stands where a local client has its view reader."""

    path: str
    """Where it asks, without secrets."""

    def __init__(self) -> None:
        self._seen, self._epoch = 0, ""
        self.shard = Shard()
        """The shard that answers, as far as one has."""
        self._lock = threading.Lock()
        _lines.add(self)

    @abstractmethod
    def forget(self) -> None:
        """Leave the connections to the parent process, in a forked child."""

    @abstractmethod
    def send(self, call: Call, seconds: float) -> bytes:
        """The reply as it travels. Raises LostError, SilentError; TimeoutError when `seconds` are over."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection; a later question opens a new one."""

    def forked(self) -> None:
        """Begin again in a child process."""
        self._lock = threading.Lock()  # another thread of the parent may have held it
        self.forget()

    @property
    def data(self) -> None:
        """No data folder."""
        return

    def read(self) -> AbstractContextManager[None]:
        """Group reads, as a view's reader does; here each is a question of its own."""
        return nullcontext()

    def one(self, *_: object) -> NoReturn:
        raise RunloreError("this read needs local files: a query service does not answer it")

    rows = one

    def saw(self, position: int) -> None:
        """Remember an event that later answers have to know."""
        with self._lock:
            self._seen = max(self._seen, position)

    def ask(self, call: Call) -> Reply:
        """The reply of a service. Raises ServerUnavailableError, AccessDeniedError, QueryTimeoutError."""
        late, lost = time.monotonic() + SECONDS, 0.0
        while True:
            left = late - time.monotonic()
            call.at_least, call.seconds = self._seen, max(0.1, left - 0.2)
            try:
                reply = msgspec.msgpack.decode(self.send(call, max(0.01, left)), type=Reply)
            except SilentError:
                continue
            except LostError as error:
                now = time.monotonic()
                lost = lost or now
                if now >= late or (not self._epoch and now >= lost + NOBODY_SECONDS):
                    raise ServerUnavailableError(str(error)) from None
                time.sleep(_AGAIN_SECONDS)
            except TimeoutError as error:
                if isinstance(error, RunloreError):
                    raise
                raise QueryTimeoutError(
                    f"no answer within {SECONDS:g} s: is `runlore query serve` overloaded, or did it end?"
                ) from None
            else:
                if self._newer(reply):
                    return reply
                if time.monotonic() >= late:
                    raise QueryTimeoutError(
                        f"the query service answers from event {reply.position:,}, and you have seen event "
                        f"{self._seen:,}: is one of another version running?"
                    )
                time.sleep(_AGAIN_SECONDS)

    def _newer(self, reply: Reply) -> bool:
        """Take up how far a reply is. False for one that is older than another was. Raises StreamMismatchError."""
        if not reply.epoch:
            return True  # an error before the view was read
        with self._lock:
            if self._epoch not in ("", reply.epoch):
                raise StreamMismatchError("the query service reads another log than before: make a new Client")
            self._epoch, self.shard = reply.epoch, Shard(reply.shard)
            if reply.failed or reply.position >= self._seen:
                self._seen = max(self._seen, reply.position)
                return True
            return False


_lines: weakref.WeakSet[Line] = weakref.WeakSet()


def _after_fork() -> None:
    for line in list(_lines):
        line.forked()


os.register_at_fork(after_in_child=_after_fork)
