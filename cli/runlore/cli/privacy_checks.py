"""Checks of `runlore doctor` on other users: what they can read, what they can write."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from runlore.cli.finding import Finding
from runlore.store.access import shell_word
from runlore.store.folder import DataDir
from runlore.store.lock import is_running
from runlore.store.ownership import others_may_read, others_may_write
from runlore.store.private_files import read_struct
from runlore.store.private_folder import is_shared
from runlore.store.records import DashboardStatus

LISTED = 3
_PRIVATE_AGAIN = "or start `runlore up`, which makes them private"


class _Found(NamedTuple):
    path: Path
    status: os.stat_result


def check_privacy(data: DataDir) -> Iterator[Finding]:
    """What of the data folder other users can read or write, beyond what is shared with a group."""
    shared = data.projection.is_dir() and is_shared(data.projection)
    found = list(_reachable(data))
    written = [one.path for one in found if others_may_write(one.status)]
    read = [one.path for one in found if _is_exposed(one, data, shared) and one.path not in written]
    secrets = [path for path in data.secrets if _is_lax(path)]  # also where nobody gets to them now
    if secrets:
        advice = f"chmod 600 {' '.join(map(str, secrets))}; replace what is in it if others may have read it"
        yield Finding("secret", "fail", f"the modes of {_listed(secrets)} let other users in", advice)
    if written:
        advice = f"look at what is there, then chmod -R go-w {shell_word(data.root)}; programs refuse it until then"
        yield Finding("privacy", "fail", f"other users can write {_listed(written)}", advice)
    if read:
        advice = f"chmod -R go-rwx {_common(data, read)}, {_PRIVATE_AGAIN}"
        yield Finding("privacy", "warn", f"other users can read {_listed(read)}", advice)
    yield from _open_page(data)
    if not read and not written:
        group = f"members of {_group(data.projection)} can read the log and the views" if shared else ""
        yield Finding("privacy", "ok", group or "other users can neither read nor write anything")


def _open_page(data: DataDir) -> Iterator[Finding]:
    status = read_struct(data.dashboard, DashboardStatus)
    if status is not None and status.open and status.http and is_running(status.pid):
        detail = f"every user of this machine sees the page at {status.http}: it asks for no token"
        yield Finding("page", "warn", detail, "start it without --no-token (RUNLORE_DASHBOARD_NO_TOKEN)")


def _is_lax(path: Path) -> bool:
    try:
        status = path.stat()
    except OSError:
        return False
    return others_may_read(status) or others_may_write(status)


def _is_exposed(found: _Found, data: DataDir, shared: bool) -> bool:
    """Return whether others can read it who are not meant to."""
    path, status = found
    meant = shared and (path in (data.root, data.projection) or path.parent == data.projection)
    if stat.S_ISDIR(status.st_mode) and path == data.root and not _is_alone(data):
        return False  # it is not ours alone
    return bool(status.st_mode & stat.S_IROTH) if meant else others_may_read(status)


def _reachable(data: DataDir) -> Iterator[_Found]:
    """Everything of ours that another user can get to, by the modes of the folders above it."""
    yield _Found(data.root, data.root.stat())
    if _lets_through(data.root):
        for path in data.root.iterdir():
            if data.is_part(path.name):
                yield from _below(path)


def _below(path: Path) -> Iterator[_Found]:
    with contextlib.suppress(OSError):  # removed meanwhile, or not ours to look into
        status = path.lstat()
        if stat.S_ISLNK(status.st_mode):
            return
        yield _Found(path, status)
        if stat.S_ISDIR(status.st_mode) and _lets_through(path):
            for inner in path.iterdir():
                yield from _below(inner)


def _lets_through(folder: Path) -> bool:
    return bool(folder.stat().st_mode & (stat.S_IXGRP | stat.S_IXOTH))


def _is_alone(data: DataDir) -> bool:
    return all(data.is_part(path.name) for path in data.root.iterdir())


def _common(data: DataDir, paths: list[Path]) -> str:
    if data.root in paths or _is_alone(data):
        return str(data.root)
    return " ".join(sorted({str(data.root / path.relative_to(data.root).parts[0]) for path in paths}))


def _listed(paths: list[Path]) -> str:
    return ", ".join(map(str, paths[:LISTED])) + (f" and {len(paths) - LISTED:,} more" if len(paths) > LISTED else "")


def _group(path: Path) -> str:
    try:
        return f"group {path.group()}"
    except KeyError:
        return f"group {path.stat().st_gid}"
