"""Who emits: user, host, process and library."""

from __future__ import annotations

import getpass
import os
import socket
from importlib.metadata import PackageNotFoundError, version

from runlore.schemas.events import Actor
from runlore.schemas.names import check_text


def this_actor() -> Actor:
    """The actor of this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())  # a container's user without a passwd entry
    user = check_text("user", user)  # from the environment, where it need not be valid Unicode
    return Actor(user=user, host=socket.gethostname(), pid=os.getpid(), library=library_version())


def library_version() -> str:
    """Name and version of this library, for example ``runlore 0.1.0``."""
    try:
        return f"runlore {version('runlore')}"
    except PackageNotFoundError:
        return "runlore (not installed)"
