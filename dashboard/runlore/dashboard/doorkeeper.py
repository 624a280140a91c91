"""Tokens of the page, and the sessions of browsers that showed one."""

from __future__ import annotations

import hmac
import threading
import time
from typing import NamedTuple

import anyio
import anyio.to_thread

from runlore.dashboard.access import Access
from runlore.dashboard.sessions import Sessions
from runlore.dashboard.throttle import LoginThrottle
from runlore.schemas.errors import FolderError
from runlore.store.folder import DataDir
from runlore.store.page_tokens import STRONG_CHARACTERS, PageToken, digest_of, page_tokens

WHOLE = "all"
"""The ID of the token that shows all projects; those of the others are hexadecimal."""


class Entry(NamedTuple):
    """A token that opens the page."""

    id: str
    digest: str
    projects: tuple[str, ...] | None
    expires: float | None


class TooManyAttemptsError(Exception):
    """Too many wrong tokens were tried: this one was not looked at."""


class Doorkeeper:
    """The tokens of one page. For the event loop's thread."""

    def __init__(self, token: str, data: DataDir | None) -> None:
        """`token` shows all. `data`: the folder with the tokens for projects."""
        self._token = token
        self._whole = Entry(WHOLE, digest_of(token), None, None)
        self._tokens = _Tokens(data)
        self._sessions = Sessions(token, data)
        self._throttle = LoginThrottle()

    async def entry_of(self, token: str, address: str) -> Entry | None:
        """Return what a token opens, None for a wrong one. Raises TooManyAttemptsError.

        Only a short token, which somebody chose, could be guessed: for the others nobody has to wait.
        """
        entry = self._tokens.find(digest_of(token))
        if entry is None and len(self._token) >= STRONG_CHARACTERS and _same(token, self._token):
            entry = self._whole
        if entry is not None:
            return entry
        wait = self._throttle.wait(address)
        if wait is None:
            raise TooManyAttemptsError
        if wait:
            await anyio.sleep(wait)
        if _same(token, self._token):
            self._throttle.succeeded(address)
            return self._whole
        self._throttle.failed(address)
        return None

    def access(self, entry: Entry, cookie: str = "") -> Access:
        """Return the access that a token gives, or with a cookie the session that was begun with it."""
        if cookie:
            return Access(entry.projects, session=True, holds=lambda: self.entry_of_session(cookie) is not None)
        return Access(entry.projects, holds=lambda: self._by_id(entry.id) == entry)

    def entry_of_session(self, cookie: str) -> Entry | None:
        """Return the token that a session was begun with, if both are still good."""
        session = self._sessions.named(cookie)
        entry = None if session is None else self._by_id(session.token)
        return entry if entry is not None and self._sessions.is_signed(cookie, entry.digest) else None

    def begin(self, entry: Entry) -> str:
        """Return the cookie of a new session."""
        return self._sessions.begin(entry.id, entry.digest, entry.expires)

    async def end(self, cookie: str) -> None:
        """End the session of a cookie; harmless for one that is none."""
        session = self._sessions.named(cookie)
        if session is not None and self.entry_of_session(cookie) is not None:
            await anyio.to_thread.run_sync(self._sessions.end, session)

    def _by_id(self, name: str) -> Entry | None:
        return self._whole if name == WHOLE else self._tokens.by_id(name)


class _Tokens:
    """The tokens for projects, read again when the file has changed."""

    def __init__(self, data: DataDir | None) -> None:
        self._data = data
        self._lock = threading.Lock()
        self._mark: tuple[int, int, int] | None = None
        self._known: list[PageToken] = []

    def find(self, digest: str) -> Entry | None:
        return _first([one for one in self._read() if hmac.compare_digest(one.digest, digest)])

    def by_id(self, name: str) -> Entry | None:
        return _first([one for one in self._read() if one.id == name])

    def _read(self) -> list[PageToken]:
        if self._data is None:
            return []
        with self._lock:
            try:
                status = self._data.page_tokens.stat()
                mark = status.st_ino, status.st_mtime_ns, status.st_size
                if mark != self._mark:
                    self._known = page_tokens(self._data)
                    self._mark = mark
            except (FileNotFoundError, PermissionError, FolderError):
                self._known, self._mark = [], None  # there are none, or they are another user's
            return self._known


def _first(found: list[PageToken]) -> Entry | None:
    valid = [one for one in found if one.is_valid(time.time())]
    return Entry(valid[0].id, valid[0].digest, valid[0].projects, valid[0].expires) if valid else None


def _same(given: str, right: str) -> bool:
    return hmac.compare_digest(given.encode("utf-8", "replace"), right.encode("utf-8", "replace"))
