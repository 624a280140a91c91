"""Checks of the service's surroundings while it runs: a server that stores events, disk space, clocks.

After a failed write (a full disk, mostly) nats-server refuses every message of the stream until it is started again,
however much space there is by then; everything else works, and so does every harmless way to ask (measured with 2.15:
a message to another stream, one that is refused for its expected sequence, a second copy of an old one). Only its own
health endpoint tells.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import http.client
import shutil
import time
from urllib.parse import quote, urlsplit

import msgspec

from runlore.projector.state import ServiceState
from runlore.schemas.errors import RunloreError
from runlore.schemas.settings import Settings
from runlore.schemas.subjects import STREAM_NAME
from runlore.store.folder import DataDir
from runlore.store.private_files import read_struct
from runlore.store.records import Endpoint
from runlore.store.sqlite import open_reader, sqlite

LOOK_SECONDS = 2.0
ASK_SECONDS = 5.0
FULL_BYTES = 100_000_000
"""A disk with less free space than this is full near by."""

AHEAD_SECONDS = 60.0
"""Clocks of two machines that differ by less than this are usual."""

_HEALTH = f"/healthz?account={quote('$G')}&stream={STREAM_NAME}"


async def watch_surroundings(settings: Settings, state: ServiceState, stopping: asyncio.Event) -> None:
    """Keep `state` up to date about the embedded server and the disk, until `stopping`."""
    data = DataDir(settings.data_dir)
    while not stopping.is_set():
        found = await asyncio.to_thread(look_around, data, embedded=settings.url is None)
        state.storing = "server" not in found
        for what in ("server", "disk", "clock"):
            state.problems.pop(what, None)
        state.problems.update(found)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LOOK_SECONDS):
                await stopping.wait()


def look_around(data: DataDir, embedded: bool) -> dict[str, str]:
    """Return the problems by subject: `server` (checked if it is `embedded`), `disk`, `clock`."""
    found: dict[str, str] = {}
    endpoint = read_struct(data.endpoint, Endpoint) if embedded else None
    if endpoint is not None and endpoint.monitor:
        with contextlib.suppress(OSError, http.client.HTTPException):  # it is away: the connection says so
            if error := write_error(endpoint):
                found["server"] = f"nats-server stores no more events ({error}); {RESTART}"
    if (free := shutil.disk_usage(data.root).free) < FULL_BYTES:
        found["disk"] = f"{free / 1e6:,.0f} MB are free on the disk of {data.root}: free some before it is full"
    if wrong := clock_ahead(data):
        found["clock"] = wrong
    return found


def clock_ahead(data: DataDir) -> str | None:
    """What to know when the newest event was recorded later than now, by this machine's clock; else None.

    Recorded time never goes back. After a server's clock was ahead, all that follows counts as recorded at that time,
    and whoever reads as of an earlier one sees none of it.
    """
    try:
        with contextlib.closing(open_reader(data.current_view())) as view:
            (recorded_us,) = view.execute("SELECT recorded_us FROM view_state").fetchone() or (0,)
    except (RunloreError, sqlite.Error):
        return None
    ahead = recorded_us / 1e6 - time.time()
    if ahead <= AHEAD_SECONDS:
        return None
    until = dt.datetime.fromtimestamp(recorded_us / 1e6, dt.UTC).isoformat(sep=" ", timespec="seconds")
    return (
        f"the newest event was recorded at {until}, {ahead:,.0f} s from now: a clock jumped, the server's or this "
        "machine's; set it right. Nothing is lost and the order is right, but until then reads as of a time do not see "
        "what was recorded since the jump: name positions instead"
    )


RESTART = "free some space if its disk is full; `runlore up` then starts it again by itself"
"""Remedy for a server that cannot write."""


def write_error(endpoint: Endpoint) -> str | None:
    """Return why the server stores nothing, None when it does.

    Raises OSError or http.client.HTTPException when it does not answer.
    """
    address = urlsplit(endpoint.monitor)
    connection = http.client.HTTPConnection(address.hostname or "127.0.0.1", address.port, timeout=ASK_SECONDS)
    try:
        connection.request("GET", address.path + _HEALTH)
        answer = connection.getresponse()
        body = answer.read()
    finally:
        connection.close()
    error = "" if answer.status == http.client.OK else _error_in(body)
    return error if "write error" in error else None  # others (no stream yet) are no reason to start it again


def _error_in(body: bytes) -> str:
    try:
        return str(msgspec.json.decode(body).get("error", ""))
    except (msgspec.DecodeError, AttributeError):
        return ""
