"""The line over HTTP: the page's server answers the same questions, through whatever proxy is on the way."""

from __future__ import annotations

import http.client
import ssl
import time
import weakref
from typing import NamedTuple
from urllib.parse import parse_qs, quote, unquote, urlsplit

import msgspec

from runlore.query.remote.line import Line, LostError, SilentError
from runlore.query.remote.methods import HTTP_PATH, HTTP_TYPE, Call
from runlore.schemas.errors import AccessDeniedError, ServerUnavailableError, SettingsError
from runlore.schemas.settings import Settings, require_address, without_user
from runlore.schemas.subjects import subject_token

MOST_IDLE = 8
"""Connections that are kept for the next question."""
_AGAIN = frozenset((502, 503, 504))
"""Statuses of a server or proxy that is busy, or starts."""
_NO_PAGE = frozenset((301, 302, 303, 307, 308, 404, 405))
"""Statuses of another path than that of the questions, and of other servers."""
_PIECE = 1 << 18

_inherited: list[object] = []
"""A parent's connections: its forked children neither use nor close them, so they are kept."""


class Site(NamedTuple):
    """Where the page is, and how to come in."""

    address: str
    """Without secrets."""
    token: str | None = None
    ca_file: str | None = None


class HttpLine(Line):
    """Asks the page's server. A connection is used by one thread at a time."""

    def __init__(self, site: Site) -> None:
        super().__init__()
        self._site, self._parts = site, urlsplit(site.address)
        self.path = site.address
        self._idle = list[http.client.HTTPConnection]()
        self._tls = _tls(site) if self._parts.scheme == "https" else None
        weakref.finalize(self, _close_all, self._idle).atexit = False

    def __reduce__(self) -> tuple[type[HttpLine], tuple[Site]]:
        return HttpLine, (self._site,)

    def send(self, call: Call, seconds: float) -> bytes:
        late = time.monotonic() + seconds
        connection = self._taken()
        kept = connection.sock is not None
        try:
            status, answer = self._asked(connection, call, late)
        except ssl.SSLCertVerificationError as error:
            raise AccessDeniedError(
                f"the certificate of {self.path} is not trusted: {error.verify_message}; RUNLORE_TLS_CA names the file "
                "of the authority that signed it"
            ) from None
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if isinstance(error, TimeoutError):
                raise
            if kept:  # a server closes what was idle for some seconds
                self.close()
                raise SilentError from error
            if isinstance(error, ssl.SSLError) and error.reason == "WRONG_VERSION_NUMBER":
                raise ServerUnavailableError(f"{self.path} does not speak TLS: is its address http://…?") from error
            raise LostError(f"{self.path} does not answer: {error or type(error).__name__}") from error
        self._keep(connection)
        if status == 200:
            return answer
        raise self._refusal(status, answer.decode("utf-8", "replace").strip()[:300])

    def _asked(self, connection: http.client.HTTPConnection, call: Call, late: float) -> tuple[int, bytes]:
        connection.timeout = _left(late)
        if connection.sock is not None:  # None until it is connected
            connection.sock.settimeout(connection.timeout)
        headers = {"Content-Type": HTTP_TYPE}
        if self._site.token:
            headers["Authorization"] = f"Bearer {self._site.token}"
        where = f"{self._parts.path.rstrip('/')}{HTTP_PATH}/{quote(subject_token(call.project))}/{call.method}"
        connection.request("POST", where, msgspec.msgpack.encode(call), headers)
        response, parts = connection.getresponse(), list[bytes]()
        while piece := response.read(_PIECE):
            parts.append(piece)
            if connection.sock is not None:  # None once the server has closed it
                connection.sock.settimeout(_left(late))
        return response.status, b"".join(parts)

    def _refusal(self, status: int, text: str) -> Exception:
        if status in _AGAIN:
            return LostError(f"{self.path} is busy ({status}): {text}")
        if status in (401, 403):
            if self._site.token is None:
                return AccessDeniedError(f"{self.path} wants a token: give token=…, or set RUNLORE_TOKEN")
            return AccessDeniedError(f"{self.path} does not let this token in: {text} (token=…, or RUNLORE_TOKEN)")
        if status in _NO_PAGE:
            return ServerUnavailableError(
                f"{self.path} is not the address of a Runlore page ({status}): use the one that `runlore up` prints, "
                "or under which a proxy has it"
            )
        return ServerUnavailableError(f"{self.path} does not answer queries ({status}): {text}")

    def _taken(self) -> http.client.HTTPConnection:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        host, port = self._parts.hostname or "", self._parts.port
        if self._tls is not None:
            return http.client.HTTPSConnection(host, port, context=self._tls)
        return http.client.HTTPConnection(host, port)

    def _keep(self, connection: http.client.HTTPConnection) -> None:
        with self._lock:
            if len(self._idle) < MOST_IDLE:
                self._idle.append(connection)
                return
        connection.close()

    def forget(self) -> None:
        _inherited.extend(self._idle)
        self._idle.clear()

    def close(self) -> None:
        with self._lock:
            _close_all(self._idle)


def site_of(address: str, token: str | None, settings: Settings) -> Site:
    """The site of an address, which may hold the token: in its user part, or as the link of `runlore up` has it.

    A `token` that is given comes before that one, RUNLORE_TOKEN after it. Raises SettingsError.
    """
    try:
        require_address(address)
        parts = urlsplit(address)
    except ValueError as error:
        raise SettingsError(
            f"{without_user(address)!r}: use an address such as https://host or http://127.0.0.1:8080 ({error})"
        ) from None
    user, at, host = parts.netloc.rpartition("@")
    named = unquote(user.rpartition(":")[2]) if at else parse_qs(parts.query).get("token", [None])[0]
    bare = parts._replace(netloc=host, query="", fragment="").geturl().rstrip("/")
    return Site(bare, _checked_token(token or named or settings.token), settings.tls_ca)


def _checked_token(token: str | None) -> str | None:
    """A token without the line end of the file that it was read from. Raises SettingsError, which does not show it."""
    token = (token or "").strip()
    if not (token.isascii() and token.isprintable()):
        raise SettingsError("this is no token of the page: it has characters that no header may have")
    return token or None


def _tls(site: Site) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=site.ca_file)
    except (OSError, ssl.SSLError) as error:
        raise AccessDeniedError(f"RUNLORE_TLS_CA={site.ca_file} cannot be used: {error}") from error


def _left(late: float) -> float:
    left = late - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _close_all(connections: list[http.client.HTTPConnection]) -> None:
    while connections:
        connections.pop().close()
