"""The forger's suite for log.db: every column of every table is named when changed, or is a note that nothing proves."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from runlore.projector.audit.signing import CheckpointWriter
from runlore.store.sqlite import sqlite
from tests.audit.logs import Folder, message, messages, tamper

NOTES = {("gaps", "noticed_ns"), ("log_state", "created"), ("checkpoints", "created_ns")}
"""This machine's own: docs/audit.md says that nothing proves them."""
SIGNED_ALONE = {"cosignatures"}
"""Tables whose rows have a signature of their own: a changed one counts for no witness policy (test_witnesses)."""
CHECKED = {("log_state", "id"), ("tree_state", "id")}
"""SQLite itself refuses another value."""
EMPTY = {"erasures", "timestamps"}
"""Of erased values, and of time stamps: test_erasures and test_timestamps forge them."""


@pytest.fixture(scope="module")
def signed(tmp_path_factory: pytest.TempPathFactory) -> Folder:
    """300 leaves, with a second copy, a conflict, an event without an ID and a gap."""
    folder = Folder(tmp_path_factory.mktemp("signed"))
    archive = folder.open()
    archive.append([*messages(1, 5), message(6, b"payload of 3", "event-3")._replace(subject=message(3).subject)])
    archive.append([message(7, event_id="event-2"), message(8, event_id=None)])
    archive.record_gap(9, 20, "the stream no longer holds these positions")
    archive.append(messages(21, 311))
    CheckpointWriter(archive, folder.key).sign()
    archive.close()
    return folder


def columns(folder: Folder) -> Iterator[tuple[str, str]]:
    for (table,) in folder.rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT GLOB '*_migrations'"):
        for _, column, *_ in folder.rows(f"PRAGMA table_info({table})"):
            if table not in SIGNED_ALONE:
                yield str(table), str(column)


OTHER = {"integer": "{0} + 1", "real": "{0} + 1", "text": "{0} || 'x'", "blob": "x'00'", "null": "1"}
"""Another value."""


def test_every_column_is_named_when_it_is_changed_or_is_a_note(signed: Folder, tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    shutil.copy(signed.key, folder.key)
    unnoticed, refused, empty = set[tuple[str, str]](), set[tuple[str, str]](), set[str]()
    for table, column in columns(signed):
        shutil.copy(signed.log, folder.log)
        [(_, first, *_), *_] = folder.rows(f"PRAGMA table_info({table})")
        rows = folder.rows(f"SELECT typeof({column}), {first} FROM {table} ORDER BY {first} DESC LIMIT 1")
        if not rows:
            empty.add(table)
            continue
        [(kind, key)] = rows
        try:
            change = OTHER[str(kind)].format(column)
            tamper(folder.log, f"UPDATE {table} SET {column} = {change} WHERE {first} = {key}")
        except sqlite.IntegrityError:
            refused.add((table, column))
            continue
        if not folder.verify().problems:
            unnoticed.add((table, column))
    assert (unnoticed, refused, empty) == (NOTES, CHECKED, EMPTY)
