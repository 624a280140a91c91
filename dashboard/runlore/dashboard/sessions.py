"""Sessions of browsers: a signed cookie, so that they outlive this process; and those that ended before their time.

    cookie = <ID of the token>.<end, Unix seconds>.<name of the session>.<HMAC-SHA256 of the rest>

The key of the signature is made of the folder's token and the hash of the session's own: who changes either ends them.
"""

from __future__ import annotations

import contextlib
import hmac
import secrets
import threading
import time
from typing import NamedTuple

import msgspec

from runlore.schemas.errors import FolderError
from runlore.store.folder import DataDir
from runlore.store.private_files import read_trusted, write_struct

SESSION_SECONDS = 30 * 24 * 3600.0
MAX_ENDED = 1000
"""Ended sessions that are remembered: the last ones."""


class Session(NamedTuple):
    """A session as its cookie says."""

    token: str
    """ID of the token that began it."""
    ends: int
    name: str


class _Ended(msgspec.Struct, frozen=True):
    """The content of page-sessions.json: ended sessions by name, and until when they would have lasted."""

    ended: dict[str, int]


class Sessions:
    """The sessions of one page. Any thread may use it."""

    def __init__(self, secret: str, data: DataDir | None) -> None:
        """`secret`: the token that shows all. `data`: where to remember ended sessions; None: in memory alone."""
        self._secret, self._data = secret.encode("utf-8", "surrogatepass"), data
        self._lock = threading.Lock()
        self._ended = _remembered(data)

    def begin(self, token: str, digest: str, expires: float | None) -> str:
        """Return the cookie of a new session, which ends no later than its token."""
        ends = int(min(time.time() + SESSION_SECONDS, expires or float("inf")))
        text = f"{token}.{ends}.{secrets.token_hex(16)}"
        return f"{text}.{self._signature(text, digest)}"

    def named(self, cookie: str) -> Session | None:
        """Return what a cookie says, signed or not; None for one that is none, is over, or was ended."""
        token, _, rest = cookie.partition(".")
        ends, _, rest = rest.partition(".")
        name = rest.partition(".")[0]
        if not (ends.isascii() and ends.isdecimal() and len(ends) < 13 and name) or int(ends) <= time.time():
            return None
        return None if name in self._ended else Session(token, int(ends), name)

    def is_signed(self, cookie: str, digest: str) -> bool:
        """Return whether this page made the cookie for the token with this hash."""
        text, _, signature = cookie.rpartition(".")
        return hmac.compare_digest(signature.encode("utf-8", "replace"), self._signature(text, digest).encode())

    def end(self, session: Session) -> None:
        """End a session before its time: its cookie opens nothing any more."""
        now = time.time()
        with self._lock:
            ended = {**{name: ends for name, ends in self._ended.items() if ends > now}, session.name: session.ends}
            self._ended = dict([*ended.items()][-MAX_ENDED:])
            if self._data is not None:
                with contextlib.suppress(OSError):  # a shared folder of another user: this process remembers it
                    write_struct(self._data.page_sessions, _Ended(self._ended))

    def _signature(self, text: str, digest: str) -> str:
        key = hmac.digest(self._secret, b"runlore page session\0" + digest.encode(), "sha256")
        return hmac.digest(key, text.encode("utf-8", "replace"), "sha256").hex()


def _remembered(data: DataDir | None) -> dict[str, int]:
    with contextlib.suppress(FolderError):
        kept = None if data is None else read_trusted(data.page_sessions, _Ended)
        return {} if kept is None else dict(kept.ended)
    return {}
