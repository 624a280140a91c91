"""Problems that need a person: quarantined events, producers whose events are missing."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from runlore.query.scope import Scope
from runlore.query.time.moment import NO_END, check_limit
from runlore.schemas.signatures import owner_of
from runlore.store.audit.actor_keys import ActorKey, ActorKeys

# The digits are the beginning of the key: g comes after all of them.
_KEYS = """SELECT value, (SELECT public_key FROM signers WHERE public_key >= value AND public_key < value || 'g'
    LIMIT 1) AS found FROM json_each(?) WHERE found IS NOT NULL"""
_STATED = "SELECT state, actor, public_key, reason FROM actor_keys ORDER BY position"


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
    found = [dict(zip(names, row, strict=True)) for row in rows]
    owners = {one["producer"]: owner_of(one["producer"]) for one in found}
    signers = _owners(scope, {owner for owner in owners.values() if owner}) if any(owners.values()) else {}
    return [{**one, "signer": signers.get(owners[one["producer"]] or "")} for one in found]


def _owners(scope: Scope, owners: set[str]) -> dict[str, dict[str, Any]]:
    """The keys that sign the events of producers, by the digits in a producer's ID: whose each is now."""
    rows = scope.reader.rows(_KEYS, (msgspec.json.encode(sorted(owners)).decode(),))
    keys = ActorKeys(ActorKey(*row) for row in scope.reader.rows(_STATED))
    return {owner: msgspec.structs.asdict(keys.signer(bytes.fromhex(key))) for owner, key in rows}
