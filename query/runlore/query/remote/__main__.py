"""`python -m runlore.query.remote`: the query service as a child of `runlore up`."""

from __future__ import annotations

import asyncio
import signal
import sys

from runlore.query.remote.service import serve
from runlore.schemas.errors import AccessDeniedError, RunloreError, SettingsError, StreamMismatchError
from runlore.schemas.settings import read_settings

NEEDS_A_PERSON = 2
"""Exit code for wrong settings, permissions or another stream, which starting again does not change."""


def main() -> int:
    """Answer until SIGTERM or SIGINT; the exit code."""
    try:
        asyncio.run(_until_stopped())
    except RunloreError as error:
        print(f"query service: {error}", file=sys.stderr)
        return NEEDS_A_PERSON if isinstance(error, SettingsError | AccessDeniedError | StreamMismatchError) else 1
    return 0


async def _until_stopped() -> None:
    answering = asyncio.ensure_future(serve(read_settings()))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, answering.cancel)
    await asyncio.wait({answering})
    if not answering.cancelled():
        answering.result()


if __name__ == "__main__":
    sys.exit(main())
