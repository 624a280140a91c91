"""When the log that is here was seen: what an auditor's time-stamping authority has signed about its checkpoints."""

from __future__ import annotations

import contextlib
import datetime as dt
import time
from pathlib import Path

from runlore.projector.audit.bundle_content import CheckedBundle
from runlore.projector.audit.findings import Problem, VerifyReport
from runlore.projector.audit.opening import open_audited
from runlore.projector.audit.timestamps import Authority
from runlore.schemas.errors import CorruptLogError
from runlore.store.audit.stored_notes import notes_from_newest
from runlore.store.audit.stored_stamps import read_stamps

LATE_SECONDS = 900.0
"""A checkpoint that is older, or a newer one, must have a time stamp: authorities may be away for a while."""


def require_stamps(log: Path, authority: Authority, report: VerifyReport) -> None:
    """Check every time stamp, and put the newest into the report; a problem where one is wrong or missing.

    The log was verified: its checkpoints are those of its rows.
    """
    report.stamped, size = 0, 0
    with contextlib.closing(open_audited(log)) as connection:
        for stamp in read_stamps(connection):
            try:
                report.stamped_at = authority.time_of(stamp.response, stamp.note).isoformat()
            except CorruptLogError as error:
                what = f"the time stamp of the checkpoint of {stamp.size:,} leaves: {error}"
                report.problems.append(Problem(place="checkpoint", what=what))
                return
            report.stamped = size = stamp.size
        newer = [one for one in notes_from_newest(connection, size) if _is_late(one.created_ns)]
    if newer or not size:
        what = f"no time stamp of the checkpoint of {newer[0].size if newer else report.signed:,} leaves"
        report.problems.append(Problem(place="checkpoint", what=what))


def _is_late(created_ns: int) -> bool:
    return time.time() - created_ns / 1e9 > LATE_SECONDS


def stamped_at(checked: CheckedBundle, authority: Authority) -> dt.datetime:
    """When the authority has seen the log of a bundle's stamped checkpoint. Raises CorruptLogError."""
    if checked.stamped is None:
        raise CorruptLogError("the bundle has no time stamp")
    return authority.time_of(checked.stamped.response, checked.stamped.note)
