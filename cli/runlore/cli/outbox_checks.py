"""Checks of `runlore doctor` on outboxes: events that wait, for how long and why, and files that cannot be read."""

from __future__ import annotations

import time
from collections.abc import Iterator

from runlore.cli.finding import Finding
from runlore.producer import OutboxStatus, outbox_status
from runlore.store.folder import DataDir

LATE_SECONDS = 60.0
"""A server that is there stores an event much sooner."""


def check_outboxes(data: DataDir) -> Iterator[Finding]:
    """Findings about the outboxes of a data folder."""
    found = outbox_status(data)
    yield _waiting(found)
    refused = [letter for one in found for letter in one.dead_letters]
    if refused:
        reasons = "; ".join(dict.fromkeys(letter.reason for letter in refused[:100]))
        detail = f"{len(refused):,} events were refused by the server: {reasons}"
        yield Finding("refused events", "fail", detail, "change that; then `runlore outbox drain --retry-dead`")
    for one in found:
        if one.damaged:
            advice = f"its events that could be read are sent; keep it while events are missing, then delete {one.path}"
            yield Finding("damaged outbox", "warn", f"{one.path}: {one.damaged}", advice)


def _waiting(found: list[OutboxStatus]) -> Finding:
    waiting = sum(one.waiting for one in found)
    orphaned = sum(one.waiting for one in found if one.left_behind)
    oldest = min((one.oldest for one in found if one.oldest is not None), default=None)
    age = 0.0 if oldest is None else max(time.time() - oldest, 0.0)
    if not waiting or not (orphaned or age > LATE_SECONDS):
        return Finding("outbox", "ok", f"{waiting:,} events wait")
    detail = f"{waiting:,} events wait, {orphaned:,} of them of processes that have ended; the oldest for {age:,.0f} s"
    return Finding("outbox", "warn", detail, "see the findings about the server; then `runlore outbox drain`")
