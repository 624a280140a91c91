"""Access errors of our files and folders, as a sentence that names the owner and the remedy."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from runlore.schemas.errors import FolderError

_ELSEWHERE = "set RUNLORE_DATA_DIR (or --data-dir) to a folder of your own"

REFUSED = frozenset(
    (
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.EEXIST,
        errno.ELOOP,
        errno.ENAMETOOLONG,
    )
)
"""Errors about permissions and the kind of a path; others (a full disk, a missing file) are not among them."""


@contextmanager
def using(path: Path) -> Generator[None]:
    """Raise FolderError, which says what to do, where the system refuses the path."""
    try:
        yield
    except FolderError:
        raise
    except OSError as error:
        if error.errno not in REFUSED:
            raise
        raise unusable(path, error) from error


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that are missing, for their owner alone. Raises FolderError."""
    with using(path):
        if path.is_dir():
            return
        if not path.parent.exists():
            make_folder(path.parent)
        try:
            path.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:  # for whatever reason: /proc says that there is no such file
            raise unusable(path, error) from error


def check_readable(path: Path) -> None:
    """Raises FolderError for a folder that this user may not look into; one that is not there is no error."""
    with using(path), suppress(FileNotFoundError):
        os.scandir(path).close()


def unusable(path: Path, error: OSError) -> FolderError:
    """The error about a path that the system refused with `error`."""
    if error.errno == errno.EROFS:
        return FolderError(f"{path} is on a read-only file system: {_ELSEWHERE}")
    if error.errno == errno.EEXIST and path.is_symlink():
        return FolderError(f"{path} is a link to {path.readlink()}, which does not exist: make that, or {_ELSEWHERE}")
    found = _nearest(path)
    if error.errno not in (errno.EACCES, errno.EPERM):
        if found is not None and not stat.S_ISDIR(found[1].st_mode) and error.errno != errno.EISDIR:
            return FolderError(f"{found[0]} is a file, where a folder is needed: {_ELSEWHERE}")
        return FolderError(f"{path}: {os.strerror(error.errno or 0)}: {_ELSEWHERE}")
    if found is None:
        return FolderError(f"{path} cannot be used by {user_name(os.geteuid())}: {_ELSEWHERE}")
    place, status = found
    mode = f"mode {stat.S_IMODE(status.st_mode):o}"
    if status.st_uid == os.geteuid():
        return FolderError(
            f"{place} does not let its owner do this ({mode}): chmod u+rwX {shell_word(place)}, or {_ELSEWHERE}"
        )
    return FolderError(
        f"{place} belongs to {user_name(status.st_uid)} ({mode}), and {user_name(os.geteuid())} may not use it so: "
        f"ask for access, or {_ELSEWHERE}"
    )


def may(path: Path, mode: int) -> bool:
    """Return whether this process may read (`os.R_OK`) or write (`os.W_OK`) a path: by the user it acts as."""
    return os.access(path, mode, effective_ids=os.access in os.supports_effective_ids)


def why_refused(path: Path) -> OSError:
    """The error behind a library's "cannot open", found without opening the file: that could drop its locks."""
    folder = path.parent
    read_only = folder.is_dir() and os.statvfs(folder).f_flag & os.ST_RDONLY
    number = errno.EROFS if read_only else errno.EACCES
    return OSError(number, os.strerror(number))


def shell_word(path: Path) -> str:
    """A path as one word of a shell's command line."""
    import shlex  # rarely needed: a step's import stays light

    return shlex.quote(str(path))


def _nearest(path: Path) -> tuple[Path, os.stat_result] | None:
    """The path, or the first folder above it that can be looked at: there the permission is missing."""
    for place in (path, *path.parents):
        try:
            return place, place.stat()
        except OSError:
            continue
    return None


def user_name(number: int) -> str:
    """A user as a person knows them: by name where the system has one."""
    import pwd  # rarely needed: a step's import stays light

    try:
        return f"user {pwd.getpwuid(number).pw_name}"
    except KeyError:
        return f"user {number}"
