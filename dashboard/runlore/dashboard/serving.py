"""The dashboard process: bind, announce the address, serve until stopped."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager

import uvicorn

from runlore.dashboard.app import create_app
from runlore.dashboard.connections import BoundedProtocol
from runlore.dashboard.safety import check_binding, is_loopback
from runlore.query import Client
from runlore.schemas.errors import SettingsError
from runlore.schemas.hosts import has_port
from runlore.schemas.settings import Settings
from runlore.store.access import check_readable
from runlore.store.folder import DataDir
from runlore.store.ownership import require_shared_folder
from runlore.store.page_tokens import folder_token
from runlore.store.private_files import write_struct
from runlore.store.records import DashboardStatus

STOP_SECONDS = 2
"""Time to wait for open connections, such as those of live pages, when the server stops."""
ANY = ("0.0.0.0", "::")  # noqa: S104 -- compared with, not bound to


def run_dashboard(settings: Settings, ready: Callable[[str, str | None], None]) -> None:
    """Serve until SIGINT or SIGTERM; `ready` is called with address and token (None: open) once the server listens.

    Raises SettingsError for an address that cannot be bound, or that is open to the network without a token, and
    FolderError for a data folder that this user may not read.
    """
    data, host = DataDir(settings.data_dir), settings.dashboard_host
    require_shared_folder(data.root)
    check_readable(data.projection)
    token = None if settings.dashboard_no_token else settings.dashboard_token or folder_token(data)
    check_binding(host, token)
    listening = _listen(host, settings.dashboard_port)
    port = listening.getsockname()[1]
    url = f"http://{_bracketed(host)}:{port}"
    client = Client(settings.data_dir, settings.project)
    config = uvicorn.Config(
        create_app(client, allowed_hosts(host, port, settings.dashboard_hosts), token),
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        timeout_graceful_shutdown=STOP_SECONDS,
        # Pure Python parts (h11) need less memory, and building a page takes far longer than parsing a request.
        http=BoundedProtocol,
        ws="none",
        loop="asyncio",
    )
    server = uvicorn.Server(config)
    try:
        with _ended_by_signals(server):
            ready(url, token)
            server.run(sockets=[listening])
    finally:
        listening.close()
        client.close()


@contextmanager
def _ended_by_signals(server: uvicorn.Server) -> Generator[None]:
    """Let SIGINT and SIGTERM stop the server without failing the process.

    uvicorn has its own handlers while it runs. These handle a signal before that, and the one that uvicorn raises
    again after it has stopped, which would end the process with the signal's exit code.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(*_: object) -> None:
        server.should_exit = True

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def write_address(data: DataDir, url: str, token: str | None) -> None:
    """Write the address to the data folder, where `runlore up` finds it; never the token."""
    write_struct(data.dashboard, DashboardStatus(os.getpid(), url, open=token is None))


def write_failure(data: DataDir, reason: str) -> None:
    """Write there why the page cannot start."""
    write_struct(data.dashboard, DashboardStatus(os.getpid(), "", reason))


def allowed_hosts(host: str, port: int, more: Iterable[str] = ()) -> set[str]:
    """Return the allowed Host headers: the address, this machine's names if it listens on all addresses, and `more`.

    A name in `more` with a port allows exactly that. One without a port allows itself (which browsers send for the
    default ports, and which most proxies pass on) and itself with the port that is listened on.
    """
    names = {_bracketed(host)}
    if is_loopback(host):
        names |= {"localhost", "127.0.0.1", "[::1]"}
    elif host in ANY:
        names |= {"localhost", "127.0.0.1", socket.gethostname(), socket.getfqdn(), *_own_addresses()}
    hosts = {f"{name}:{port}" for name in names}
    named = set(more)
    hosts |= named | {f"{name}:{port}" for name in named if not has_port(name)}
    return hosts | names if port == 80 else hosts


def _own_addresses() -> set[str]:
    try:
        found = socket.getaddrinfo(socket.gethostname(), None)
    except OSError:
        return set()
    return {_bracketed(str(entry[4][0])) for entry in found}


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # With its protocol named: else asyncio leaves Nagle on, and an answer in two writes waits 40 ms for an ACK.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind((host, port))
        listening.listen(128)
    except (OSError, OverflowError) as error:
        listening.close()
        raise SettingsError(
            f"RUNLORE_DASHBOARD_HOST={host}, RUNLORE_DASHBOARD_PORT={port}: {error}; port 0 picks a free one"
        ) from error
    return listening


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
