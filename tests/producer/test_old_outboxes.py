"""Outboxes of older versions, which were SQLite files: sent, then removed."""

from __future__ import annotations

from pathlib import Path

import pytest
from log_tools import logged, make_stream, old_outbox, outbox_files

from runlore.cli.server import EmbeddedServer
from runlore.producer import Producer, drain, outbox_status
from runlore.producer.outboxes.look import rows_of
from runlore.producer.outboxes.outbox import Outbox
from runlore.producer.outboxes.rows import Row
from runlore.schemas import EntityRef, MetadataLogged, Settings
from runlore.store.folder import DataDir


@pytest.fixture(autouse=True)
def acknowledged_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    """No projector runs here: what is acknowledged would stay in the outbox until it is archived."""
    monkeypatch.setenv("RUNLORE_CONFIRM", "never")


def some_rows(settings: Settings, count: int) -> list[Row]:
    with Producer(mode="offline") as producer:
        for number in range(count):
            producer.emit_nowait(MetadataLogged((EntityRef("model", "churn"),), {"n": number}))
    (path,) = outbox_files(settings)
    rows = rows_of(path)
    outbox = Outbox.adopt(path)
    assert outbox
    outbox.remove(count)
    outbox.close()
    return rows


@pytest.mark.parametrize("version", [1, 2])
def test_an_outbox_of_an_older_version_is_sent_and_removed(
    server: EmbeddedServer, settings: Settings, data: DataDir, version: int
) -> None:
    make_stream(settings)
    rows = some_rows(settings, 1500)
    old_outbox(data.outboxes / "0.db", rows[:-2], dead=rows[-2:], version=version)
    (status,) = outbox_status(data)
    assert (status.waiting, [letter.seq for letter in status.dead_letters]) == (1498, [1499, 1500])
    assert drain(settings, 90) == (1498, 0, 2)
    assert drain(settings, 90, retry_dead_letters=True) == (2, 0, 0)
    assert logged(settings) == list(range(1500))
    assert list(data.outboxes.iterdir()) == []


def test_what_was_noted_of_an_older_outbox_survives_and_nothing_is_sent_twice(tmp_path: Path) -> None:
    path = tmp_path / "outbox" / "0.db"
    old_outbox(path, [Row(seq, "runlore.x", b"payload") for seq in range(1, 11)])
    outbox = Outbox.adopt(path)
    assert outbox
    outbox.add_dead_letters(outbox.read(0)[:1], "too large")
    outbox.remove(4)
    assert outbox.waiting() == 6
    outbox.close()
    outbox = Outbox.adopt(path)
    assert outbox
    assert [row.seq for row in outbox.read(0)] == list(range(5, 11))
    assert [letter.seq for letter in outbox.dead_letters()] == [1]
    outbox.remove(10)
    outbox.close()
    assert path.exists(), "a dead letter is in it"
