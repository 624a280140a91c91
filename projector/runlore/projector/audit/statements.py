"""Statements about keys on their way into the log.

A command that changes the key writes the signed statement into the data folder; the projector sends it to the stream,
under the message ID of the next statement, and the change takes effect when it is in log.db: not before, and not on
another machine's word. After a restore that lost events the projector makes the statement itself.
"""

from __future__ import annotations

import contextlib
import secrets
from pathlib import Path

from runlore.projector.audit.key_history import KeyChange, current_key, read_changes
from runlore.projector.audit.keys import SigningError, Verifier
from runlore.projector.audit.signers import KeySource, Signing
from runlore.projector.logs import get_log
from runlore.schemas.errors import CorruptLogError, NotFoundError, SettingsError
from runlore.store.audit.statement import KeyReason, Statement, parse_statement
from runlore.store.folder import DataDir
from runlore.store.folder_shard import log_origin
from runlore.store.private_files import read_struct, write_private
from runlore.store.records import RestoredLog
from runlore.store.sqlite import sqlite


class PendingStatement:
    """The statement of one data folder that is not in its log yet."""

    def __init__(self, data: DataDir, source: KeySource, epoch: str) -> None:
        self._data, self._source, self._origin = data, source, log_origin(data, epoch)
        self._made: str | None = None

    def note(self, connection: sqlite.Connection) -> str | None:
        """What has to be put into the log, if anything. `connection`: of log.db."""
        changes = read_changes(connection)
        if (restored := self.unsettled_restore(changes)) is not None:
            return self._restored(restored, changes)
        return read_pending(self._data.key_statement)

    def unsettled(self, connection: sqlite.Connection) -> bool:
        """Return whether a restore is not in the log yet."""
        return self.unsettled_restore(read_changes(connection)) is not None

    def unsettled_restore(self, changes: list[KeyChange]) -> RestoredLog | None:
        """The restore that lost what this folder's key may have signed, unless the log says so already."""
        restored = read_struct(self._data.restored, RestoredLog)
        if restored is None or not self._source.exists():
            return None
        settled = {(change.statement.reason, change.statement.size, change.old.public.hex()) for change in changes}
        if ("restored", restored.leaves, restored.public_key) in settled:
            return None
        own = self._source.load(self._origin).verifier.public.hex()
        return restored if own == restored.public_key else None

    def settle(self, connection: sqlite.Connection) -> bool:
        """Complete a change that is in the log now: put the new key in place. Return whether there was one."""
        note = read_pending(self._data.key_statement)
        if note is None or all(change.note != note for change in read_changes(connection)):
            return False
        statement = parse_statement(note)
        if self._data.next_key.exists():
            retired = self._data.root / f"checkpoint.key.retired-{Verifier.parse(statement.old).key_id.hex()}"
            with contextlib.suppress(FileNotFoundError):
                self._data.checkpoint_key.rename(retired)
            self._data.next_key.rename(self._data.checkpoint_key)
        self._data.key_statement.unlink()
        get_log().warning(f"the signing key was {statement.reason}", key=statement.new)
        return True

    def _restored(self, restored: RestoredLog, changes: list[KeyChange]) -> str:
        """A new name for the same key: under the old one it may have signed other trees."""
        if self._made is None:
            key = current_key(self._source.load(self._origin).verifier, changes)
            name = f"{self._origin}/{secrets.token_hex(4)}"
            new = self._source.load(name)
            root = bytes.fromhex(restored.root) if restored.root else bytes(32)
            statement = Statement("restored", restored.leaves, root, key.vkey, new.verifier.vkey)
            self._made = statement.signed([self._source.load(key.name), new])
        return self._made


def read_pending(path: Path) -> str | None:
    """The statement in a file, if there is a whole one."""
    try:
        note = path.read_text(encoding="utf-8")
        parse_statement(note)
    except (FileNotFoundError, UnicodeDecodeError, CorruptLogError):
        return None
    return note


def write_statement(
    data: DataDir, reason: KeyReason, tree: tuple[int, bytes], keys: tuple[Verifier, Verifier], signers: list[Signing]
) -> Statement:
    """Leave a statement for the projector. `tree`: size and root that are signed; `keys`: the old and the new one."""
    statement = Statement(reason, *tree, keys[0].vkey, keys[1].vkey)
    write_private(data.key_statement, statement.signed(signers).encode())
    return statement


def require_none_pending(data: DataDir) -> None:
    """Raise SettingsError while a change of the key, or what it signed, waits for the projector."""
    if read_pending(data.key_statement) is not None:
        raise SettingsError(
            f"a change of the key waits in {data.key_statement}: start the projector, which puts it into the log"
        )
    for path in (data.erasure, data.retention, data.actor_key):
        if path.exists():  # after the change nobody would believe its signature
            raise SettingsError(f"a statement waits in {path}: start the projector, which puts it into the log")


def public_key_of(data: DataDir, source: KeySource, name: str) -> Verifier:
    """The key of the folder, or what is left of it: its public part. Raises NotFoundError."""
    with contextlib.suppress(NotFoundError, SettingsError, SigningError):
        return source.load(name).verifier
    try:
        return Verifier.parse(data.public_key.read_text(encoding="utf-8"))
    except (OSError, SettingsError):
        raise NotFoundError(
            f"{data.public_key}, the public part of the lost key, is not there: give it with --old, as auditors have it"
        ) from None
