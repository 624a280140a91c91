"""Who emits: user, host, process and library."""

from __future__ import annotations

import getpass
import os
import socket
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, version

from runlore.schemas.events import Actor


def this_actor() -> Actor:
    """The actor of this process."""
    return _actor(os.getpid())


@lru_cache(maxsize=1)  # also because the password database cannot be asked any more while the interpreter ends
def _actor(pid: int) -> Actor:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())  # a container's user without a passwd entry
    return Actor(user=user, host=socket.gethostname(), pid=pid, library=library_version())


def library_version() -> str:
    """Name and version of this library, for example ``runlore 0.1.0``."""
    try:
        return f"runlore {version('runlore')}"
    except PackageNotFoundError:
        return "runlore (not installed)"
