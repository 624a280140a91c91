"""Whose a folder and its files are: what another user put there is not written to, nor trusted for an address or key.

On a shared machine anybody may leave a folder where a program will look for one, such as `.runlore` in /tmp, or a link
in a folder that all may write. Trusted are this user and root, and for root the user who called sudo.
RUNLORE_TRUST_FOLDER=1 takes every folder as it is.
"""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path
from typing import Literal

from runlore.schemas.errors import FolderError
from runlore.schemas.settings import trusts_any_folder
from runlore.store.access import shell_word, user_name, using

PRIVATE = 0o600
"""The mode of a file that its owner alone may read."""

_NEVER_BLOCK = os.O_NONBLOCK
"""A named pipe in the place of a file would keep the opener waiting for ever."""
_MEANT = "if that is what you mean, set RUNLORE_TRUST_FOLDER=1"


def open_private(path: Path, flags: int, mode: int = PRIVATE) -> int:
    """Open a file that is this user's own; one that is made gets this mode. Raises FolderError.

    No link is followed, and nothing is cut off before the file was looked at.
    """
    trusted = trusts_any_folder()
    careful = 0 if trusted else os.O_NOFOLLOW | _NEVER_BLOCK
    try:
        with using(path):
            descriptor = os.open(path, flags & ~os.O_TRUNC | os.O_CLOEXEC | careful, mode)
    except FolderError as error:
        raise _refused_link(path) or error from error.__cause__
    except OSError as error:
        if error.errno == errno.ENXIO:  # a named pipe or a socket
            raise FolderError(f"{path} is no file: move it away") from error
        raise
    try:
        if not trusted:
            _require_own_file(path, os.fstat(descriptor))
        if flags & os.O_TRUNC:
            os.ftruncate(descriptor, 0)
    except BaseException:  # Ctrl-C too: nobody else would close it
        os.close(descriptor)
        raise
    return descriptor


def private_opener(path: str, flags: int) -> int:
    """`open_private` for `open(…, opener=…)`."""
    return open_private(Path(path), flags)


def write_to(path: Path, mode: Literal["wb", "ab", "xb"] = "wb") -> io.BufferedWriter:
    """A file of this user's own, open for writing. Raises FolderError."""
    return open(path, mode, opener=private_opener)


def make_private_file(path: Path, mode: int = PRIVATE) -> None:
    """Make an empty file if there is none, without opening one that is there: closing it would drop SQLite's locks.

    Raises FolderError for a file that is not this user's own.
    """
    try:
        os.close(open_private(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode))
    except FolderError:
        require_own_file(path)
    else:
        if mode != PRIVATE:
            path.chmod(mode)  # the umask may have taken the group's bit away


def read_private(path: Path) -> bytes:
    """The content of a file that is trusted: an address, a key, a token. Raises FolderError, FileNotFoundError."""
    with open(open_private(path, os.O_RDONLY), "rb") as file:
        return file.read()


def require_own_file(path: Path) -> None:
    """Raise FolderError for a file that another user owns or may write, or for a link. It need not be there."""
    if trusts_any_folder():
        return
    try:
        with using(path):
            status = path.lstat()
    except FileNotFoundError:
        return
    if stat.S_ISLNK(status.st_mode):
        raise _refused_link(path) or FolderError(f"{path} is a link")
    _require_own_file(path, status)


def require_own_folder(path: Path) -> None:
    """Raise FolderError for a folder that another user owns or may write. It need not be there."""
    if trusts_any_folder():
        return
    try:
        with using(path):
            link, status = path.lstat(), path.stat()
    except FileNotFoundError:
        return
    for found in (link, status):  # a link of another user may lead to a folder of this one
        if found.st_uid not in trusted_users():
            raise FolderError(
                f"{path} belongs to {user_name(found.st_uid)} (mode {_mode(status)}), and {user_name(os.geteuid())} "
                "neither writes into the folder of another user nor trusts what is in it: set RUNLORE_DATA_DIR (or "
                "--data-dir) to a folder of your own, or ask for access to read (RUNLORE_SHARE_WITH_GROUP); "
                f"{_MEANT}"
            )
    _require_not_writable(path, status)


def require_shared_folder(path: Path) -> None:
    """Raise FolderError for a folder that is neither this user's own nor one that its owner shares with a group of his.

    What others could write is refused in any case.
    """
    if trusts_any_folder():
        return
    try:
        with using(path):
            status = path.stat()
    except FileNotFoundError:
        return
    if status.st_uid in trusted_users() or not (status.st_mode & stat.S_IRGRP and in_group(status.st_gid)):
        require_own_folder(path)
    else:
        _require_not_writable(path, status)


def trusted_users() -> set[int]:
    """Who may have put there what this process reads and writes."""
    user = os.geteuid()
    caller = os.environ.get("SUDO_UID", "")
    return {user, 0, int(caller)} if user == 0 and caller.isdecimal() else {user, 0}


def in_group(group: int) -> bool:
    """Return whether this process is a member of a group."""
    return group == os.getegid() or group in os.getgroups()


def others_may_write(status: os.stat_result) -> bool:
    """Return whether a user other than the owner and root may write. A group of the owner alone is no other user."""
    return _others(status, stat.S_IWOTH, stat.S_IWGRP)


def others_may_read(status: os.stat_result) -> bool:
    """The same about reading."""
    return _others(status, stat.S_IROTH, stat.S_IRGRP)


def _others(status: os.stat_result, by_all: int, by_group: int) -> bool:
    if status.st_mode & by_all:
        return True
    return bool(status.st_mode & by_group) and status.st_gid != 0 and not _has_only(status.st_gid, status.st_uid)


def _require_own_file(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise FolderError(f"{path} is no file: move it away")
    if status.st_uid not in trusted_users():
        raise FolderError(
            f"{path} belongs to {user_name(status.st_uid)} (mode {_mode(status)}), and {user_name(os.geteuid())} does "
            f"not trust it: move it away, or set RUNLORE_DATA_DIR to a folder of your own; {_MEANT}"
        )
    _require_not_writable(path, status)


def _require_not_writable(path: Path, status: os.stat_result) -> None:
    if others_may_write(status):
        raise FolderError(
            f"{path} can be written by other users (mode {_mode(status)}), who may have put anything into it: look at "
            f"what is there, then chmod go-w {shell_word(path)}; {_MEANT}"
        )


def _refused_link(path: Path) -> FolderError | None:
    try:
        target = path.readlink()
    except OSError:
        return None
    return FolderError(f"{path} is a link to {target}, and links are not followed here: remove it; {_MEANT}")


def _has_only(group: int, user: int) -> bool:
    """Return whether a group is the private one that many systems make for each user."""
    import grp  # rarely needed: a step's import stays light
    import pwd

    try:
        account, found = pwd.getpwuid(user), grp.getgrgid(group)
    except KeyError:
        return False
    return account.pw_gid == group and found.gr_name == account.pw_name and set(found.gr_mem) <= {account.pw_name}


def _mode(status: os.stat_result) -> str:
    return f"{stat.S_IMODE(status.st_mode):o}"
