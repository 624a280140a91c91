"""The checks of `runlore doctor`: each looks at one thing and says what to do about it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import msgspec

from runlore.cli.server import MIN_VERSION, find_program, server_version
from runlore.cli.stack import public_address, readyz
from runlore.producer import outbox_status
from runlore.projector import stream_drift, stream_info
from runlore.projector.stream import StreamInfo
from runlore.schemas.errors import NotFoundError, RunloreError
from runlore.schemas.layout import VIEW_SCHEMA, DataDir, ProjectorStatus, read_struct
from runlore.schemas.settings import Settings
from runlore.schemas.sqlite import open_reader, sqlite
from runlore.schemas.transport import connect

SAFE_SQLITE = (3, 51, 3)
"""Before it, two connections that checkpoint one file could corrupt it."""

STATUS_SECONDS = 10.0
"""A projector that has said nothing for so long is not well."""


class Finding(msgspec.Struct, frozen=True):
    """The outcome of one check."""

    check: str
    outcome: Literal["ok", "warn", "fail"]
    detail: str
    advice: str = ""


def check_up(settings: Settings) -> Iterator[Finding]:
    """All findings, as they come."""
    yield from _versions(settings)
    yield from _folders(settings)
    yield from _server(settings)
    yield from _projector(settings)
    yield from _outboxes(settings)
    yield from _files(settings)


def _versions(settings: Settings) -> Iterator[Finding]:
    yield Finding("python", "ok", platform.python_version())
    if sqlite.sqlite_version_info >= SAFE_SQLITE:
        yield Finding("sqlite", "ok", sqlite.sqlite_version)
    else:
        advice = "pip install pysqlite3 (Linux), or a Python with a newer SQLite"
        yield Finding("sqlite", "warn", f"{sqlite.sqlite_version} has the WAL-reset bug", advice)
    if settings.url:
        return  # no server of our own is needed
    try:
        found = server_version(find_program(settings.nats_server))
    except RunloreError as error:
        yield Finding("nats-server", "fail", str(error))
        return
    shown, wanted = ".".join(map(str, found)), ".".join(map(str, MIN_VERSION))
    if found >= MIN_VERSION:
        yield Finding("nats-server", "ok", shown)
    else:
        yield Finding("nats-server", "fail", f"{shown} is too old", f"install {wanted} or newer")


def _folders(settings: Settings) -> Iterator[Finding]:
    data = DataDir(settings.data_dir)
    if not data.root.is_dir():
        yield Finding("data folder", "warn", f"{data.root} does not exist", "`runlore up` makes it")
        return
    if not os.access(data.root, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("data folder", "fail", f"{data.root} cannot be written", "set RUNLORE_DATA_DIR, or chown it")
        return
    yield Finding("data folder", "ok", str(data.root))
    with contextlib.suppress(FileNotFoundError):
        if data.endpoint.stat().st_mode & 0o077:
            advice = f"chmod 600 {data.endpoint}"
            yield Finding("secret", "fail", f"others can read {data.endpoint}", advice)


def _server(settings: Settings) -> Iterator[Finding]:
    errors: list[str] = []
    try:
        info = asyncio.run(_ask_stream(settings, errors))
    except NotFoundError as error:
        yield Finding("stream", "warn", str(error), "start the projector")
    except RunloreError as error:
        advice = "start `runlore up`" if not settings.url else "check RUNLORE_URL and the server's log"
        yield Finding("server", "fail", "; ".join([str(error), *errors]), advice)
    else:
        yield Finding("server", "ok", public_address(settings))
        drift = stream_drift(info.config)
        listed = "; ".join(map(str, drift)) or f"{info.messages:,} events, last position {info.last_seq:,}"
        advice = "set it back, after making sure that no event was deleted" if drift else ""
        yield Finding("stream", "fail" if drift else "ok", listed, advice)


async def _ask_stream(settings: Settings, errors: list[str]) -> StreamInfo:
    async def hear(error: Exception) -> None:
        errors.append(str(error))

    async def closed() -> None:
        """We close it ourselves."""

    connection = await connect(settings, "runlore doctor", hear, closed)
    try:
        return await stream_info(connection)
    finally:
        await connection.close()


def _projector(settings: Settings) -> Iterator[Finding]:
    status = read_struct(DataDir(settings.data_dir).status, ProjectorStatus)
    start = "start `runlore up` or `runlore projector`"
    if status is None:
        yield Finding("projector", "fail", "has never run on this folder", start)
        return
    if status.stopped:
        yield Finding("projector", "fail", f"stopped: {status.stopped}", start)
        return
    silent = time.time() - status.updated
    if silent > STATUS_SECONDS:
        yield Finding("projector", "fail", f"silent for {silent:,.0f} s", start)
        return
    ready = readyz(status.http)
    advice = "" if ready else f"see {status.http}/readyz"
    yield Finding("projector", "ok" if ready else "fail", f"process {status.pid}, {status.http}", advice)
    lag = max(status.stream_last - status.folded, 0)
    slow = lag > settings.max_lag
    yield Finding("lag", "warn" if slow else "ok", f"{lag:,} events", "wait, or look at /metrics" if slow else "")


def _outboxes(settings: Settings) -> Iterator[Finding]:
    found = outbox_status(DataDir(settings.data_dir))
    waiting = sum(one.waiting for one in found)
    refused = sum(len(one.dead_letters) for one in found)
    orphaned = sum(one.waiting for one in found if not one.alive)
    advice = "`runlore outbox drain`" if orphaned else ""
    yield Finding("outbox", "warn" if orphaned else "ok", f"{waiting:,} events wait", advice)
    for one in found:
        if one.damaged:
            advice = f"its events that could be read are sent; keep it while events are missing, then delete {one.path}"
            yield Finding("damaged outbox", "warn", f"{one.path}: {one.damaged}", advice)
    if refused:
        advice = "`runlore outbox status` says why; then `runlore outbox drain --retry-dead`"
        yield Finding("refused events", "fail", f"{refused:,} events were refused by the server", advice)


def _files(settings: Settings) -> Iterator[Finding]:
    data = DataDir(settings.data_dir)
    yield from _count(
        "gaps", data.log, "SELECT coalesce(sum(last - first + 1), 0) FROM gaps",
        "positions are missing on the stream itself", "restore the stream from a backup",
    )  # fmt: skip
    try:
        view = data.current_view()
    except RunloreError:
        return  # the projector's finding says so already
    yield from _count(
        "outdated view", view, f"SELECT count(*) FROM view_state WHERE schema_version <> {VIEW_SCHEMA}",
        "view of another version", "restart the projector",
    )  # fmt: skip
    yield from _count(
        "quarantine", view, "SELECT count(*) FROM quarantine",
        "events could not be folded", "look at the view's table quarantine; upgrade runlore",
    )  # fmt: skip
    yield from _count(
        "missing events", view, "SELECT coalesce(sum(highest_seq - seen), 0) FROM producers",
        "events that producers numbered have not arrived", "drain the outboxes of their machines",
    )  # fmt: skip


def _count(check: str, path: Path, query: str, problem: str, advice: str) -> Iterator[Finding]:
    if not path.exists():
        return
    try:
        with contextlib.closing(open_reader(path)) as connection:
            count = int(connection.execute(query).fetchone()[0])
    except sqlite.Error as error:
        yield Finding(check, "fail", f"{path}: {error}", "restart the projector")
        return
    yield Finding(check, "warn", f"{count:,} {problem}", advice) if count else Finding(check, "ok", "none")
