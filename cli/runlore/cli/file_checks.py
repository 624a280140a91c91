"""Checks of `runlore doctor` on the disk: files that are missing or another's, and room that runs out."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from runlore.cli.finding import Finding
from runlore.projector.surroundings import FULL_BYTES, clock_ahead
from runlore.schemas.errors import RunloreError
from runlore.schemas.settings import read_settings
from runlore.store.folder import DataDir
from runlore.store.private_files import read_struct
from runlore.store.records import ProjectorStatus
from runlore.store.sqlite import open_reader, sqlite
from runlore.store.view_tables import VIEW_SCHEMA

SCARCE_BYTES = 1_000_000_000
WAL_BYTES = 256 * 1024 * 1024
"""A write-ahead log above this size is no longer ordinary: the programs that write empty theirs earlier."""
LISTED = 3


def check_disk(data: DataDir) -> Iterator[Finding]:
    """Room on each disk that holds a part of the folder, and write-ahead logs that grow."""
    yield from _room(data)
    large = [path for path in data.root.rglob("*-wal") if _size(path) > WAL_BYTES]
    listed = ", ".join(f"{path} ({_size(path) / 1e6:,.0f} MB)" for path in large[:LISTED])
    advice = "a reader keeps its file open for long: end it (a shell, a notebook), and it shrinks by itself"
    yield Finding("wal", "warn", listed, advice) if large else Finding("wal", "ok", "none is large")


def _room(data: DataDir) -> Iterator[Finding]:
    disks: dict[int, Path] = {}
    for folder in (data.root, data.outboxes, data.projection, data.nats):
        with contextlib.suppress(OSError):
            disks.setdefault(folder.stat().st_dev, folder)
    for folder in disks.values():
        free = shutil.disk_usage(folder).free
        detail = f"{free / 1e6:,.0f} MB free at {folder}"
        if free < FULL_BYTES:
            advice = "free some space now: when it is full, calls fail and nothing is stored"
            yield Finding("disk", "fail", detail, advice)
        else:
            scarce = free < SCARCE_BYTES
            yield Finding("disk", "warn" if scarce else "ok", detail, "free some space" if scarce else "")


def check_clock(data: DataDir) -> Iterator[Finding]:
    """A log that was recorded in the future."""
    if wrong := clock_ahead(data):
        yield Finding("clock", "fail", *wrong.split("; ", 1))


def check_owner(data: DataDir) -> Iterator[Finding]:
    """Files that this user may not write: of another user, or read-only."""
    folders = (data.root, data.outboxes, data.projection, data.nats)
    paths = [path for folder in folders if folder.is_dir() for path in (folder, *folder.iterdir())]
    foreign = [path for path in dict.fromkeys(paths) if not os.access(path, os.R_OK | os.W_OK)]
    if foreign:
        listed = ", ".join(map(str, foreign[:LISTED])) + (" ..." if len(foreign) > LISTED else "")
        advice = "run as the user who owns them, or chown and chmod them"
        yield Finding("permissions", "fail", f"this user cannot write {len(foreign):,} files: {listed}", advice)


def check_files(data: DataDir) -> Iterator[Finding]:
    """Return whether log, view and key are there and belong together, and what is in quarantine."""
    yield from _missing(data)
    yield from _count(
        "gaps", data.log, "SELECT coalesce(sum(last - first + 1), 0) FROM gaps",
        "positions hold no event: the stream lost them before they were archived",
        "if their producers' outboxes still have them, `runlore outbox drain` sends them again",
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
        "quarantine", view, "SELECT count(*) FROM quarantine WHERE stage <> 'conflict'",
        "events could not be applied", "look at the view's table quarantine; upgrade runlore",
    )  # fmt: skip
    yield from _count(
        "conflicts", view, "SELECT count(*) FROM quarantine WHERE stage = 'conflict'",
        "events have the ID of an earlier one and other content", "`runlore audit verify` names the first",
    )  # fmt: skip
    yield from _count(
        "missing events", view, "SELECT coalesce(sum(missing), 0) FROM producers",
        "events that producers numbered have not arrived", "drain the outboxes of their machines",
    )  # fmt: skip
    yield from _count(
        "producer numbers", view, "SELECT coalesce(sum(implausible), 0) FROM producers",
        "events claim a number far beyond their producer's", "another program uses its ID: /quarantine names it",
    )  # fmt: skip


def _missing(data: DataDir) -> Iterator[Finding]:
    archived = _one(data.log, "SELECT position FROM log_state")
    status = read_struct(data.status, ProjectorStatus)
    known = max(_view_position(data), status.archived if status else 0)
    if data.replica.exists():
        return  # which has no log and no key
    if not data.log.exists() and known:
        advice = "bring it back from a backup. While the stream has everything, the projector copies it again"
        yield Finding("log.db", "fail", f"{data.log} is missing; it had events up to {known:,}", advice)
    elif archived is not None and archived < known:
        detail = f"{data.log} ends at {archived:,}, and had events up to {known:,}: an older copy was put in its place"
        yield Finding("log.db", "fail", detail, "start the projector: it copies what the stream still has")
    elsewhere = read_settings(data_dir=data.root).signer_command is not None
    if not elsewhere and _one(data.log, "SELECT count(*) FROM checkpoints") and not data.checkpoint_key.exists():
        detail = f"{data.checkpoint_key} is missing: nothing more is signed"
        yield Finding(
            "signing key", "fail", detail, "bring it back from a backup; if it is lost, runlore audit key --new"
        )
    ours, theirs = _text(data.log, "SELECT epoch FROM log_state"), _view_epoch(data)
    if ours and theirs and ours != theirs:
        yield Finding("view", "fail", "the view belongs to another log", "runlore rebuild")


def _view_position(data: DataDir) -> int:
    with contextlib.suppress(RunloreError):
        return _one(data.current_view(), "SELECT position FROM view_state") or 0
    return 0


def _view_epoch(data: DataDir) -> str | None:
    with contextlib.suppress(RunloreError):
        return _text(data.current_view(), "SELECT epoch FROM view_state")
    return None


def _one(path: Path, query: str) -> int | None:
    value = _text(path, query)
    return int(value) if value is not None else None


def _text(path: Path, query: str) -> str | None:
    """The one value of a query; None without a file or row, and when it cannot be read: other findings say so."""
    if not path.exists():
        return None
    try:
        with contextlib.closing(open_reader(path)) as connection:
            row = connection.execute(query).fetchone()
    except sqlite.Error:
        return None
    return None if row is None else str(row[0])


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


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:  # it went with its last connection
        return 0
