"""The journal of an outbox: what became of its events."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from outbox_tools import add, replace, row

from runlore.producer.outboxes.journal import frame
from runlore.producer.outboxes.ledger import Acknowledged, Destination
from runlore.producer.outboxes.look import look_at
from runlore.producer.outboxes.orphans import adopt_orphans
from runlore.producer.outboxes.outbox import Outbox
from runlore.producer.outboxes.rows import Row
from runlore.producer.outboxes.segment_format import MAGIC
from runlore.producer.outboxes.segments import segment_paths
from runlore.producer.sending.source import Source
from runlore.schemas import read_settings
from runlore.schemas.shards import Shard
from runlore.store.folder import DataDir
from runlore.wire.archived import StoredRange


def test_what_became_of_events_survives_a_kill_and_a_torn_journal(tmp_path: Path) -> None:
    outbox = Outbox.create(tmp_path / "outbox", "producer-1")
    add(outbox, *[row(seq) for seq in range(1, 11)])
    states = []
    for work in (
        lambda: outbox.remove(2),
        lambda: outbox.add_dead_letters(outbox.read(2)[:1], "too large"),
        lambda: outbox.remove(4),
        lambda: outbox.add_dead_letters(outbox.read(4)[:2], "forbidden"),
        lambda: outbox.remove(8),
    ):
        states.append((look_at(outbox.path).waiting, len(outbox.dead_letters())))
        work()
    states.append((look_at(outbox.path).waiting, len(outbox.dead_letters())))
    assert states == [(10, 0), (8, 0), (7, 1), (6, 1), (4, 3), (2, 3)]
    journal = outbox.path / "journal"
    whole = journal.read_bytes()
    for end in range(0, len(whole), 3):
        replace(journal, whole[:end])
        look = look_at(outbox.path)
        assert (look.waiting, len(look.dead)) in states
    for at in range(0, len(whole), 3):
        replace(journal, whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :])
        look = look_at(outbox.path)
        assert look.waiting in range(2, 7)
        assert len(look.dead) in range(1, 4)
    outbox.close()
    journal.write_bytes(whole[:-1])
    adopted = Outbox.adopt(outbox.path)
    assert adopted
    assert [one.seq for one in adopted.read(0)] == [7, 8, 9, 10]
    adopted.remove(9)
    adopted.close()
    assert look_at(outbox.path)[:2] == (1, 0)


def test_the_shard_of_the_events_is_kept_and_shard_0_writes_nothing(tmp_path: Path) -> None:
    """An outbox without it is read by older versions."""
    outbox = Outbox.create(tmp_path / "outbox", "producer-1", Destination("host:4222", "speech", "an epoch"))
    add(outbox, row(1))
    assert (Source(outbox, read_settings()).shard, b"shard" in _journal(outbox)) == (Shard(), False)
    outbox.ledger.set_destination(Destination("host:4222", "speech"))
    assert Source(outbox, read_settings()).shard is None
    outbox.ledger.set_shard(7)
    outbox.close()
    adopted = Outbox.adopt(outbox.path)
    assert adopted
    source = Source(adopted, read_settings())
    assert source.shard == Shard(7)
    assert [one.subject for one in source.read()] == [Shard(7).subject(row(1).subject)]
    adopted.close()


def _journal(outbox: Outbox) -> bytes:
    path = outbox.path / "journal"
    return path.read_bytes() if path.exists() else b""


def test_a_long_journal_is_written_anew_and_says_the_same(outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runlore.producer.outboxes.journal.LONG_BYTES", 2000)
    add(outbox, *[row(seq) for seq in range(1, 1001)])
    outbox.add_dead_letters(outbox.read(0)[:1], "too large")
    for last in range(1, 1000):
        outbox.remove(last)
    assert (outbox.path / "journal").stat().st_size < 3000
    look = look_at(outbox.path)
    assert (look.waiting, [letter.seq for letter in look.dead]) == (1, [1])


def test_a_journal_that_is_gone_costs_nothing_but_sending_again(tmp_path: Path) -> None:
    outbox = Outbox.create(tmp_path / "outbox", "producer-1")
    add(outbox, *[row(seq) for seq in range(1, 4)])
    outbox.remove(2)
    outbox.close()
    (outbox.path / "journal").unlink()
    assert look_at(outbox.path).waiting == 3


@pytest.mark.parametrize("newer", ["segment", "journal"])
def test_an_outbox_of_a_newer_version_is_left_alone(tmp_path: Path, newer: str) -> None:
    data = DataDir(tmp_path)
    outbox = Outbox.create(data.outboxes, "producer-1")
    add(outbox, row(1), row(2))
    outbox.remove(1)
    outbox.close()
    path = segment_paths(outbox.path)[0] if newer == "segment" else outbox.path / "journal"
    if newer == "segment":
        path.write_bytes(path.read_bytes().replace(MAGIC, b"RUNLOUT2"))
    else:
        path.write_bytes(path.read_bytes() + frame(b"\x92\xa6future\x01"))
    before = path.read_bytes()
    warnings: list[str] = []
    assert adopt_orphans(data, warnings.append, lambda _: True) == []
    assert "newer version" in warnings[0]
    assert path.read_bytes() == before


class Model:
    """What an outbox should say, in the plainest way."""

    def __init__(self, rows: list[Row]) -> None:
        self.rows, self.gone = rows, 0
        self.kept: list[Acknowledged] = []
        self.dead: set[int] = set()

    def read(self, after: int) -> list[Row]:
        return [one for one in self.rows if one.seq > max(after, self.gone) and one.seq not in self.dead]

    @property
    def acknowledged(self) -> int:
        return self.kept[-1].last if self.kept else self.gone

    def leave(self, last: int) -> None:
        self.gone = max(self.gone, last)
        self.kept = [one for one in self.kept if one.last > last]


def acknowledged(last: int) -> Acknowledged:
    return Acknowledged(last, 100, 1.0, StoredRange(1, last, "a", "b"))


ACTS = st.lists(
    st.tuples(st.sampled_from(["keep", "leave", "rewind", "bury", "reopen"]), st.integers(1, 5)), max_size=15
)


@given(ACTS)
@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_whatever_becomes_of_events_the_outbox_says_so_also_after_it_was_opened_again(
    tmp_path: Path, small_segments: None, acts: list[tuple[str, int]]
) -> None:
    model = Model([row(seq, 25_000) for seq in range(1, 17)])
    outbox = Outbox.create(tmp_path / "outbox", "producer-1")
    add(outbox, *model.rows)
    for act, number in acts:
        last = min(model.acknowledged + number, 16)
        if act == "keep" and last > model.acknowledged:
            outbox.ledger.keep([acknowledged(last)])
            model.kept.append(acknowledged(last))
        elif act == "leave":
            outbox.remove(last)
            model.leave(last)
        elif act == "rewind":
            back = max(model.acknowledged - number, 0)
            outbox.ledger.rewind(back)
            model.kept = [one for one in model.kept if one.last <= back]
        elif act == "bury":
            rows = model.read(model.acknowledged)[:number]
            outbox.add_dead_letters(rows, "too large")
            model.dead |= {one.seq for one in rows}
        elif act == "reopen":
            outbox.close()
            if not model.read(0) and not model.dead:
                assert not outbox.path.exists()
                return
            again = Outbox.adopt(outbox.path)
            assert again is not None
            outbox = again
        assert outbox.read(model.acknowledged) == model.read(model.acknowledged)
        assert outbox.read(0) == model.read(0)
        look = look_at(outbox.path)
        waiting = len(model.read(model.acknowledged))
        assert (look.waiting, look.kept) == (waiting, len(model.read(0)) - waiting)
        assert (outbox.waiting(), {one.seq for one in look.dead}) == (waiting, model.dead)
        assert outbox.ledger.kept() == model.kept
    outbox.discard()
    assert list((tmp_path / "outbox").iterdir()) == []
