"""The `runlore` command and the embedded NATS server."""

from __future__ import annotations

import errno
import os
import sys
from importlib.util import find_spec

__all__ = ["main"]


def main() -> None:
    """Run the command line; without the `cli` extra, say what to install and exit with 1."""
    missing = [name for name in ("click", "rich") if find_spec(name) is None]
    if missing:
        # A step needs only the light install, so the command's own needs may well be absent.
        print(f"runlore: {' and '.join(missing)} missing: pip install 'runlore[cli]'", file=sys.stderr)
        raise SystemExit(1)
    from runlore.cli.app import app

    try:
        app(prog_name="runlore")
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        # Python writes what is left of stdout at exit, and would fail once more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        print(f"Error: {error.strerror}: the output is not complete", file=sys.stderr)
        raise SystemExit(1) from None
