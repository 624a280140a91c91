"""Whether witnesses saw the log that is here: what an auditor's policy demands of its checkpoints."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path

from runlore.projector.audit.bundle_content import CheckedBundle
from runlore.projector.audit.findings import Problem, VerifyReport
from runlore.projector.audit.opening import open_audited
from runlore.projector.audit.witness_policy import WitnessPolicy
from runlore.schemas.errors import CorruptLogError
from runlore.store.audit.stored_notes import notes_from_newest

LATE_SECONDS = 300.0
"""A checkpoint that is older must have its cosignatures; witnesses may be away for a moment."""


def require_witnesses(log: Path, policy: WitnessPolicy, report: VerifyReport) -> None:
    """Put into the report how far a quorum of witnesses saw the log; a problem where they should have seen more.

    The log was verified: its checkpoints are those of its rows.
    """
    report.witnessed, late = 0, 0
    with contextlib.closing(open_audited(log)) as connection:
        for size, note, created_ns in notes_from_newest(connection):
            if policy.holds(policy.witnessed_by(note).keys()):
                report.witnessed = size
                break
            if time.time() - created_ns / 1e9 > LATE_SECONDS:
                late = late or size
    if late or not report.witnessed:
        saw = f"they saw it up to {report.witnessed:,} leaves" if report.witnessed else "they saw none of it"
        what = f"no quorum of the policy's witnesses cosigned the checkpoint of {late or report.signed:,} leaves: {saw}"
        report.problems.append(Problem(place="checkpoint", what=what))


def require_witnessed(checked: CheckedBundle, policy: WitnessPolicy) -> None:
    """Raise CorruptLogError where no quorum of witnesses has cosigned the checkpoint of a bundle."""
    if not policy.holds(policy.witnessed_by(checked.signed).keys()):
        raise CorruptLogError(
            f"no quorum of the policy's witnesses cosigned the checkpoint of {checked.checkpoint.size:,} leaves. If it "
            "was new when the bundle was made, ask for another one, made a minute later"
        )
