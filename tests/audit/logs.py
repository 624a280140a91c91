"""Logs to audit: real log.db files, and ways to tamper with them."""

from __future__ import annotations

from pathlib import Path

from runlore.projector.archiving.archive import Archive
from runlore.projector.audit.findings import VerifyReport
from runlore.projector.audit.keys import Verifier, load_or_make_signer
from runlore.projector.audit.signing import CheckpointWriter
from runlore.projector.audit.verify import verify_log
from runlore.store.audit.checkpoint import Checkpoint
from runlore.store.audit.leaf import origin_of
from runlore.store.log_rows import Received
from runlore.store.sqlite import sqlite

EPOCH = "epoch-1"


def message(position: int, payload: bytes | None = None, event_id: str | None = "") -> Received:
    return Received(
        position,
        f"event-{position}" if event_id == "" else event_id,
        1_700_000_000_000_000_000 + position,
        f"runlore.default.model.m{position % 7}",
        b"NATS/1.0\r\nNats-Msg-Id: event-%d\r\n\r\n" % position,
        b"payload of %d" % position if payload is None else payload,
    )


def messages(first: int, last: int) -> list[Received]:
    return [message(position) for position in range(first, last + 1)]


class Folder:
    """A folder with a log and the key that signs it."""

    def __init__(self, root: Path) -> None:
        self.log, self.key = root / "log.db", root / "checkpoint.key"

    def open(self) -> Archive:
        return Archive.open(self.log, EPOCH)

    def fill(self, batches: list[list[Received]], sign: bool = True) -> None:
        archive = self.open()
        writer = CheckpointWriter(archive, self.key)
        for batch in batches:
            archive.append(batch)
            if sign:
                writer.sign()
        archive.close()

    def verifier(self) -> Verifier:
        return load_or_make_signer(self.key, origin_of(EPOCH)).verifier

    def verify(self, *outside: Checkpoint) -> VerifyReport:
        return verify_log(self.log, [self.verifier()], outside)

    def tamper(self, *statements: str) -> None:
        tamper(self.log, *statements)

    def rows(self, query: str) -> list[tuple[object, ...]]:
        connection = sqlite.connect(self.log)
        found = connection.execute(query).fetchall()
        connection.close()
        return found

    def forget_tree(self) -> None:
        """Make it the log of a version without a tree."""
        connection = sqlite.connect(self.log)
        for table in ("tree_state", "tree_leaves", "tree_nodes", "checkpoints"):
            connection.execute(f"DROP TABLE {table}")
        for change in ("update", "delete"):
            connection.execute(f"DROP TRIGGER gaps_is_append_only_{change}")
        assert connection.execute("DELETE FROM _sqlite_migrations WHERE name = 'log_v2'").rowcount == 1
        connection.commit()
        connection.close()


def tamper(log: Path, *statements: str, triggers: bool = True) -> None:
    """Change the file like someone who knows SQL: the triggers go first, and come back unless told otherwise."""
    connection = sqlite.connect(log)
    found = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
    for name, _ in found:
        connection.execute(f"DROP TRIGGER {name}")
    for statement in statements:
        connection.execute(statement)
    for _, sql in found if triggers else ():
        connection.execute(sql)
    connection.commit()
    connection.close()
