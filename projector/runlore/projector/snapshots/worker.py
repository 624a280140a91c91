"""The process that takes one snapshot beside a projector: the lowest priority, so that the fold never waits for it."""

from __future__ import annotations

import os
import sys

from runlore.projector.database import MachineErrors
from runlore.projector.logs import configure_logs, get_log
from runlore.projector.snapshots.take import take_snapshot
from runlore.schemas.errors import AccessDeniedError, RunloreError
from runlore.schemas.settings import read_settings
from runlore.wire.api import ApiError

REFUSED, FAILED = 3, 1
"""Exit codes: the server refuses to store one (no permission, no room in the account), and anything else."""

_LOWEST = 19


def main() -> int:
    """Take a snapshot as the settings in the environment say. Only `SnapshotStage` starts it, and reads its stdout."""
    configure_logs()
    os.nice(_LOWEST)
    try:
        last = take_snapshot(read_settings())
    except (AccessDeniedError, ApiError) as error:
        return _failed(error, REFUSED)
    except RunloreError as error:
        return _failed(error, FAILED)
    except MachineErrors as error:
        return _failed(error, FAILED)
    megabytes = round(last.stored_bytes / 1e6, 1)
    get_log().info("snapshot stored", position=last.snapshot.position, megabytes=megabytes, seconds=last.seconds)
    return 0


def _failed(error: Exception, code: int) -> int:
    sys.stdout.write(str(error) or type(error).__name__)
    return code
