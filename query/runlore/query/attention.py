"""Problems that need a person: quarantined events, producers whose events are missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from runlore.query.scope import Scope
from runlore.query.time.moment import NO_END, check_limit


def quarantine(scope: Scope, limit: int, subjects: Sequence[str] | None = None) -> list[dict[str, Any]]:
    """See `Client.quarantine`."""
    check_limit(limit)
    names = ("position", "event_id", "subject", "stage", "error", "payload")
    query = f"""SELECT {", ".join(names)} FROM quarantine WHERE position <= ? AND (? IS NULL OR EXISTS (
        SELECT 1 FROM json_each(?) WHERE substr(subject, 1, length(value)) = value)) ORDER BY position DESC LIMIT ?"""
    wanted = None if subjects is None else msgspec.json.encode(subjects).decode()
    rows = scope.reader.rows(query, (min(scope.moment.position, NO_END - 1), wanted, wanted, limit))
    return [dict(zip(names, row, strict=True)) for row in rows]


def quarantined(scope: Scope, most: int) -> int:
    """See `Client.quarantined`."""
    query = "SELECT count(*) FROM (SELECT 1 FROM quarantine WHERE position <= ? LIMIT ?)"
    row = scope.reader.one(query, (min(scope.moment.position, NO_END - 1), check_limit(most)))
    return int(row[0]) if row else 0


def producers(scope: Scope) -> list[dict[str, Any]]:
    """See `Client.producers`."""
    names = ("project", "producer", "last_position", "highest_seq", "missing", "late", "implausible")
    rows = scope.reader.rows(f"SELECT {', '.join(names)} FROM producers ORDER BY last_position DESC")
    return [dict(zip(names, row, strict=True)) for row in rows]
