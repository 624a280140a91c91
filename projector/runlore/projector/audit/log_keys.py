"""Statements that a log's own keys have signed: those about actors' keys that the fold believes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

from runlore.projector.audit.key_history import TrustedRange, current_key, lineage, read_changes, signs, spread
from runlore.projector.audit.keys import Verifier, load_signer
from runlore.schemas.errors import NotFoundError, SettingsError
from runlore.schemas.signatures import short_key
from runlore.store.audit.actor_keys import LoggedActorKey, read_actor_keys
from runlore.store.audit.tree import leaf_index
from runlore.store.folder import DataDir
from runlore.store.folder_shard import log_origin
from runlore.store.sqlite import sqlite


def folder_key(data: DataDir, epoch: str) -> Verifier | None:
    """The public key of a folder's log; None before the first signature."""
    try:
        return Verifier.parse(data.public_key.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, SettingsError):
        pass
    with contextlib.suppress(NotFoundError, SettingsError):
        return load_signer(data.checkpoint_key, log_origin(data, epoch)).verifier
    return None


def is_trusted(
    connection: sqlite.Connection, position: int, note: str, trusted: Sequence[Verifier], own: Verifier | None = None
) -> bool:
    """Return whether a statement at a position is signed by a key that signed the log there.

    `trusted`: the keys that an auditor trusts; else `own`, the folder's key now, and those before it.
    """
    changes = read_changes(connection)
    if not trusted and own is not None:
        trusted = lineage(current_key(own, changes), changes)
    return _covered(connection, position, note, spread(trusted, changes))


def told_actor_keys(connection: sqlite.Connection, ranges: Sequence[TrustedRange]) -> Iterator[str]:
    """Each statement about an actor's key in log.db, for an auditor who trusts these keys."""
    for position, stated, note in read_actor_keys(connection):
        trusted = _covered(connection, position, note, ranges)
        effect = "" if trusted else ", which no trusted key has signed: without effect"
        key = f"key {short_key(stated.key)} was {stated.state} for {stated.actor}: {stated.reason}"
        yield f"event {position:,}: {key}{effect}"


def trusted_actor_keys(connection: sqlite.Connection, trusted: Sequence[Verifier]) -> list[LoggedActorKey]:
    """The statements about actors' keys in log.db that a trusted key has signed, in log order."""
    ranges = spread(trusted, read_changes(connection))
    return [one for one in read_actor_keys(connection) if _covered(connection, one.position, one.note, ranges)]


def _covered(connection: sqlite.Connection, position: int, note: str, ranges: Sequence[TrustedRange]) -> bool:
    leaf = leaf_index(connection, position)
    return any(one.covers(leaf) and signs(one.key, note) for one in ranges)
