"""Connecting to NATS the same way everywhere. Imports nats-py: import this module only where it is used.

A connection never reconnects by itself: the embedded server's port changes between starts, and every
new connection needs its checks. Callers loop around `connect` with a `Backoff`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import ssl
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Literal
from urllib.parse import urlsplit

from nats.aio.client import Client as NatsConnection

from runlore.schemas.errors import (
    AccessDeniedError,
    FolderError,
    ForeignServerError,
    ServerTooOldError,
    ServerUnavailableError,
)
from runlore.schemas.settings import Settings
from runlore.schemas.shards import Shard
from runlore.store.folder import DataDir
from runlore.store.private_files import read_trusted
from runlore.store.records import Endpoint, Login
from runlore.wire.destinations import known_endpoint
from runlore.wire.failures import NATS_ERRORS, is_denied, is_hang_up, is_no_introduction, unavailable
from runlore.wire.foreign import TlsFirstError, foreign_server, unless_foreign
from runlore.wire.private import before_signing_in, server_info
from runlore.wire.server_version import require_version
from runlore.wire.sign_in import sign_in_options

FIRST_RETRY_WAIT = 0.05
CONNECT_TIMEOUT = 10.0
"""Seconds for one attempt that a caller waits for. A loaded or distant server may take several to accept."""
MOST_PATIENCE = 60.0
"""Seconds for an attempt after several that took too long."""
GIVE_UP_SECONDS = 0.5
"""For the end of a connection that failed."""
PENDING_BYTES = 64 * 1024 * 1024

Role = Literal["service", "producer"]
"""Who connects: the projector or a command, or somebody who only sends."""

ErrorCallback = Callable[[Exception], Awaitable[None]]
ClosedCallback = Callable[[], Awaitable[None]]


class Connection(NatsConnection):
    """A connection that knows where its account has JetStream and its inboxes, and which shard its program owns."""

    def __init__(self, jetstream_api: str, shard: Shard, inbox_prefix: str) -> None:
        super().__init__()
        self.jetstream_api, self.shard, self.inbox_prefix = jetstream_api, shard, inbox_prefix


class Backoff:
    """Waiting times between attempts: doubling from `first` to `most` seconds, with jitter."""

    def __init__(self, first: float = 0.1, most: float = 2.0) -> None:
        self._first, self._most = first, most
        self._next = first

    def reset(self) -> None:
        self._next = self._first

    def wait(self) -> float:
        """Seconds to wait before the next attempt."""
        seconds = self._next * random.uniform(0.75, 1.25)  # noqa: S311 -- jitter, not a secret
        self._next = min(self._next * 2, self._most)
        return seconds


def patience(settings: Settings, failures: int) -> float:
    """Seconds to give an attempt that nobody waits for, after `failures` ones.

    A slow server needs more time, not more attempts. Where there are several, the next one may be there at once.
    """
    several = settings.url is not None and "," in settings.url
    return min(MOST_PATIENCE, (3.0 if several else 20.0) * 2.0 ** min(failures, 5))


def server_options(settings: Settings, role: Role = "service") -> dict[str, Any]:
    """Return the server's address and login: RUNLORE_URL, or the embedded server of the data folder.

    Raises ServerUnavailableError when neither is known, AccessDeniedError for settings that nobody can sign in with.
    """
    if settings.url:
        options = sign_in_options(settings)
        endpoint = known_endpoint(settings)
        named = options.keys() & {"user_credentials", "nkeys_seed_str", "user", "token"}
        if endpoint is not None and not named and list(map(_address, options["servers"])) == [_address(endpoint.url)]:
            options |= _login(settings, endpoint, role)
        return options
    try:
        endpoint = read_trusted(DataDir(settings.data_dir).endpoint, Endpoint)
    except FolderError as error:
        raise ServerUnavailableError(f"no server: {error}") from error
    if endpoint is None:
        raise ServerUnavailableError(
            f"no server: RUNLORE_URL is not set and no `runlore up` serves {settings.data_dir}"
        )
    return {"servers": [endpoint.url], **_login(settings, endpoint, role)}


def _login(settings: Settings, endpoint: Endpoint, role: Role) -> dict[str, Any]:
    """The user of a role on the embedded server, and the inbox that only this user may read."""
    # An older `runlore up` had one user for all, and no inbox of its own for it.
    try:
        service = read_trusted(DataDir(settings.data_dir).service, Login)
    except FolderError as error:
        raise ServerUnavailableError(f"no server: {error}") from error
    if service is None:
        return {"user": endpoint.user, "password": endpoint.password}
    login = service if role == "service" else Login(endpoint.user, endpoint.password)
    return {"user": login.user, "password": login.password, "inbox_prefix": f"_INBOX_{login.user}"}


def _address(url: str) -> str:
    """Host and port, as nats-py understands them; with a user in it, it is not the bare address of a server."""
    bare = url.partition("://")[2] or url
    return bare.rstrip("/").replace("localhost", "127.0.0.1")


async def connect(
    settings: Settings,
    name: str,
    on_error: ErrorCallback,
    on_closed: ClosedCallback,
    timeout: float = CONNECT_TIMEOUT,  # noqa: ASYNC109 -- nats-py's own, for each of its steps
    role: Role = "service",
) -> Connection:
    """One connection attempt, each of whose steps may take `timeout` seconds.

    `role`: whose login to use on the embedded server. `on_error` hears what nats-py only reports asynchronously
    (permission violations, slow consumers), and of a server that is silent for a second. Raises
    ServerUnavailableError with the reason, AccessDeniedError when it is about the user, ServerTooOldError,
    ForeignServerError.
    """
    options: dict[str, Any] = {"inbox_prefix": settings.inbox_prefix, "name": name} | server_options(settings, role)
    advice = "; RUNLORE_URL names the port for clients of NATS, such as nats://host:4222" if settings.url else ""
    try:
        try:
            return await _connected(settings, options, on_error, on_closed, timeout)
        except TlsFirstError as error:
            if not _wants_tls(options):
                advice = ". If it is a NATS server that wants TLS first (handshake_first), use tls:// in RUNLORE_URL"
                raise ForeignServerError(str(error)) from error
        return await _connected(settings, options | {"tls_handshake_first": True}, on_error, on_closed, timeout)
    except ForeignServerError as error:
        raise ForeignServerError(f"{error}{advice}") from error


async def _connected(
    settings: Settings,
    options: dict[str, Any],
    on_error: ErrorCallback,
    on_closed: ClosedCallback,
    timeout: float,  # noqa: ASYNC109 -- see above
) -> Connection:
    connection = Connection(settings.jetstream_api, Shard(settings.shard), options["inbox_prefix"])
    before_signing_in(connection, partial(_check_server, connection, wants_tls=_wants_tls(options)))
    connected = False
    cause: Exception | None = None

    async def heard(error: Exception) -> None:
        nonlocal cause
        if connected:
            await on_error(error)
        else:
            cause = error  # nats-py raises only "no servers" in the end

    async def closed() -> None:
        if connected:
            await on_closed()

    connecting = connection.connect(
        **options,
        allow_reconnect=False,
        # Without these, the first attempt at a server that is down is repeated for two minutes.
        max_reconnect_attempts=1,
        reconnect_time_wait=FIRST_RETRY_WAIT,  # type: ignore[arg-type]  # annotated int; a float works
        connect_timeout=timeout,  # type: ignore[arg-type]  # annotated int; a float works
        pending_size=PENDING_BYTES,
        error_cb=heard,
        closed_cb=closed,
    )

    async def on_silence(told: str) -> None:
        await on_error(ServerUnavailableError(told))

    tls = options.get("tls") or ssl.create_default_context() if options.get("tls_handshake_first") else None
    try:
        await unless_foreign(connecting, lambda: bool(server_info(connection)), options["servers"], on_silence, tls)
        if not connection.is_connected:  # nats-py takes an end of the stream in the handshake for a success
            raise ConnectionResetError("the server closed the connection")
    except (asyncio.CancelledError, ForeignServerError):
        await _give_up(connection)
        raise
    except NATS_ERRORS as error:
        await _give_up(connection)  # which may still hear why
        foreign = await foreign_server(options["servers"], tls) if is_no_introduction(cause or error) else None
        if foreign is not None:
            raise foreign from error
        raise _failure(connection, cause or error, timeout) from error
    connected = True
    return connection


def _wants_tls(options: dict[str, Any]) -> bool:
    servers: list[str] = options["servers"]
    schemes = {urlsplit(url).scheme for url in servers}
    return ("tls" in options or "tls" in schemes) and not schemes & {"ws", "wss"}


def _check_server(connection: Connection, wants_tls: bool) -> None:
    """Look at how a server introduces itself before it is told anything."""
    if wants_tls:
        _require_tls(connection)
    require_version(str(server_info(connection).get("version", "")))


def _require_tls(connection: Connection) -> None:
    """Raise AccessDeniedError where nats-py would sign in without TLS, because the server does not ask for it."""
    if not server_info(connection).get("tls_required"):
        raise AccessDeniedError(
            "the NATS server does not require TLS, which RUNLORE_URL or RUNLORE_TLS_CA asks for: nothing was sent. It "
            "may be another server; if it is the right one, configure `tls` there, or use nats:// without them"
        )


async def _give_up(connection: Connection) -> None:
    with contextlib.suppress(TimeoutError):  # after a failed TLS handshake nobody answers the end of it
        await asyncio.wait_for(connection.close(), GIVE_UP_SECONDS)


def _failure(connection: Connection, reason: Exception, seconds: float) -> ServerUnavailableError:
    """What to tell a person; the server's own words where it said any."""
    if isinstance(reason, (AccessDeniedError, ServerTooOldError)):
        return reason
    if isinstance(reason, ssl.SSLCertVerificationError):
        return AccessDeniedError(
            f"the NATS server's certificate is not trusted: {reason.verify_message}; RUNLORE_TLS_CA names the file of "
            "the authority that signed it"
        )
    info = server_info(connection)
    wanted = info.get("tls_verify") and (isinstance(reason, ssl.SSLError) or is_hang_up(reason))
    if wanted or (isinstance(reason, ssl.SSLError) and "CERTIFICATE_REQUIRED" in reason.reason):
        return AccessDeniedError(
            f"the NATS server wants a certificate: {reason}; RUNLORE_TLS_CERT and RUNLORE_TLS_KEY name its files"
        )
    # It says why and closes at once; with our next line still unread, the kernel resets the connection, and the
    # reason is lost.
    if is_denied(reason) or (info.get("auth_required") and is_hang_up(reason)):
        return AccessDeniedError(
            f"the NATS server refuses the connection: {reason}; give a user (RUNLORE_CREDENTIALS, RUNLORE_NKEY, or in "
            "RUNLORE_URL), or the data folder whose `runlore up` started it"
        )
    if isinstance(reason, TimeoutError):
        return ServerUnavailableError(f"no NATS server answers: nothing was heard for {seconds:g} s")
    return unavailable(reason, "no NATS server answers")
