"""The checks of `runlore doctor`: each looks at one thing and says what to do about it."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Iterator

from runlore.cli.file_checks import check_clock, check_disk, check_files, check_owner
from runlore.cli.finding import Finding
from runlore.cli.outbox_checks import check_outboxes
from runlore.cli.privacy_checks import check_privacy
from runlore.cli.server import find_program, server_version
from runlore.cli.server_checks import check_server
from runlore.cli.stack import readyz
from runlore.schemas.errors import FolderError, RunloreError
from runlore.schemas.settings import Settings
from runlore.store.access import check_readable, may
from runlore.store.folder import DataDir
from runlore.store.ownership import require_shared_folder
from runlore.store.private_files import read_struct
from runlore.store.records import LastSnapshot, ProjectorStatus, ReplicaMark
from runlore.store.sqlite import sqlite
from runlore.wire.server_version import MIN_VERSION, shown_version

__all__ = ["Finding", "check_up"]

SAFE_SQLITE = (3, 51, 3)
"""Before it, two connections that checkpoint one file could corrupt it."""

RESTARTS = 3
"""As often a projector may fail in a row before that is a finding."""
STATUS_SECONDS = 10.0
"""A projector whose status is older than this is unhealthy."""


def check_up(settings: Settings) -> Iterator[Finding]:
    """All findings, as they come."""
    yield from _versions(settings)
    try:
        check_readable(settings.data_dir)
        require_shared_folder(settings.data_dir)
    except FolderError as error:
        yield Finding("data folder", "fail", str(error))
        return  # everything else is in there
    yield from _folders(settings)
    yield from check_server(settings)
    yield from _service(settings)
    data = DataDir(settings.data_dir)
    yield from check_outboxes(data)
    if data.root.is_dir():
        yield from check_owner(data)
        yield from check_files(data)
        yield from check_disk(data)
        yield from check_clock(data)


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
    shown = shown_version(found)
    if found >= MIN_VERSION:
        yield Finding("nats-server", "ok", shown)
    else:
        yield Finding("nats-server", "fail", f"{shown} is too old", f"install {shown_version(MIN_VERSION)} or newer")


def _folders(settings: Settings) -> Iterator[Finding]:
    data = DataDir(settings.data_dir)
    if not data.root.is_dir():
        yield Finding("data folder", "warn", f"{data.root} does not exist", "`runlore up` makes it")
        return
    if not may(data.root, os.R_OK | os.W_OK | os.X_OK):
        yield Finding("data folder", "fail", f"{data.root} cannot be written", "set RUNLORE_DATA_DIR, or chown it")
        return
    yield Finding("data folder", "ok", str(data.root))
    yield from check_privacy(data)


def _service(settings: Settings) -> Iterator[Finding]:
    """The projector of the folder, or the replica that it is."""
    data = DataDir(settings.data_dir)
    mark = read_struct(data.replica, ReplicaMark)
    if mark is None:
        yield from _running(settings, "projector", "start `runlore up` or `runlore projector`")
        if (last := read_struct(data.last_snapshot, LastSnapshot)) is not None:
            detail = f"for replicas, at event {last.snapshot.position:,}, {last.stored_bytes / 1e6:,.1f} MB"
            yield Finding("snapshot", "ok", detail)
        return
    snapshot = mark.snapshot
    began = "its first event" if snapshot is None else f"the snapshot at event {snapshot.position:,}"
    yield Finding("folder of", "ok", f"a replica of stream {mark.epoch or '(none yet)'}, which began at {began}")
    yield from _running(settings, "replica", "start `runlore replica` on this folder")


def _running(settings: Settings, name: str, start: str) -> Iterator[Finding]:
    status = read_struct(DataDir(settings.data_dir).status, ProjectorStatus)
    if status is None:
        yield Finding(name, "fail", "has never run on this folder", start)
        return
    if status.restarts >= RESTARTS:
        detail = f"started {status.restarts:,} times in a row, each soon after it had failed"
        yield Finding("restarts", "warn", detail, "its log (stderr of `runlore up`) has the reasons")
    if status.stopped:
        yield Finding(name, "fail", f"stopped: {status.stopped}", start)
        return
    silent = time.time() - status.updated
    if silent > STATUS_SECONDS:
        yield Finding(name, "fail", f"silent for {silent:,.0f} s", start)
        return
    ready = readyz(status.http)
    advice = "" if ready else f"see {status.http}/readyz"
    yield Finding(name, "ok" if ready else "fail", f"process {status.pid}, {status.http}", advice)
    for problem in status.problems:
        yield Finding("problem", "fail", *problem.split("; ", 1))
    lag = max(status.stream_last - status.folded, 0)
    slow = lag > settings.max_lag
    yield Finding("lag", "warn" if slow else "ok", f"{lag:,} events", "wait, or look at /metrics" if slow else "")
