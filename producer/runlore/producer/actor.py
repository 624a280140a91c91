"""Who emits: user, host, process and library."""

from __future__ import annotations

import datetime as dt
import getpass
import os
import socket
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

from runlore.schemas.events import Actor
from runlore.schemas.names import check_text
from runlore.schemas.references import EntityRef

_LONGEST_USER = 1000
"""Characters: the environment may hold any text."""


def this_actor() -> Actor:
    """The actor of this process."""
    return _actor(os.getpid())


@lru_cache(maxsize=1)  # the password database may be out of reach while the interpreter shuts down
def _actor(pid: int) -> Actor:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())  # a container's user without a passwd entry
    user = check_text("user", user)[:_LONGEST_USER]  # from the environment, where it need not be valid Unicode
    return Actor(user=user, host=socket.gethostname(), pid=pid, library=library_version())


@lru_cache(maxsize=1)
def this_process() -> EntityRef:
    """This process as an entity, ``process:<host>/<pid>/<start>``.

    The start is the UTC second in which Runlore was loaded here or the process was forked: process IDs come again.
    """
    return EntityRef("process", f"{socket.gethostname()}/{os.getpid()}/{_start:%Y-%m-%dT%H:%M:%SZ}")


def _forked() -> None:
    global _start
    _start = dt.datetime.now(dt.UTC)
    this_process.cache_clear()


_start = dt.datetime.now(dt.UTC)
os.register_at_fork(after_in_child=_forked)


def library_version() -> str:
    """Name and version of this library, for example ``runlore 0.1.0``."""
    try:
        return f"runlore {version('runlore')}"
    except PackageNotFoundError:
        return "runlore (not installed)"
