"""The bytes of a segment: what is committed is read back, whatever happens to them."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from outbox_tools import replace, row

from runlore.producer.outboxes.rows import DamagedError, Row
from runlore.producer.outboxes.segment import Segment
from runlore.producer.outboxes.segment_format import Info, read_header, salvage
from runlore.producer.outboxes.segments import Segments, segment_path
from runlore.schemas import OutboxError

UNIT = 64 * 1024
INFO = Info("producer-1", 1, 0.0, "server", "project", "epoch")


def read_all(folder: Path) -> list[Row]:
    """What is read until damage is met."""
    found: list[Row] = []
    with contextlib.suppress(DamagedError, OutboxError), contextlib.closing(Segments(folder)) as segments:
        found.extend(segments.rows(0))
    return found


def made_segment(folder: Path, rows: list[Row]) -> bytes:
    """The bytes of a segment up to a little behind its committed end."""
    folder.mkdir(exist_ok=True)
    path = segment_path(folder, 1)
    made = Segment.create(path, INFO, 1, UNIT, sync=False)
    for one in rows:
        assert made.append(one.seq, one.subject, one.payload)
    made.release()
    return path.read_bytes()[: 400 + sum(len(one.payload) + 64 for one in rows)]


def test_a_segment_cut_or_changed_at_any_byte_never_yields_a_wrong_record(tmp_path: Path) -> None:
    rows = [row(seq, 20 + 7 * seq) for seq in range(1, 5)]
    folder = tmp_path / "producer-1.outbox"
    whole = made_segment(folder, rows)
    path = segment_path(folder, 1)
    for at in range(len(whole)):
        for changed in (whole[:at], whole[:at] + bytes([whole[at] ^ 0x41]) + whole[at + 1 :]):
            replace(path, changed)
            found = read_all(folder)
            assert found == rows[: len(found)]
            rescued = list(salvage(changed, "producer-1", 1))
            assert [one for one in rows if one in rescued] == rescued
            assert len(rescued) >= len(found)
            if len(changed) == len(whole) and at >= 64:  # below is the committed end
                assert len(rescued) >= len(rows) - 1


@given(st.binary(max_size=600), st.integers(0, 600), st.integers(0, 600))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_nonsense_in_a_segment_never_yields_a_wrong_record(
    tmp_path: Path, nonsense: bytes, at: int, until: int
) -> None:
    rows = [row(seq) for seq in range(1, 6)]
    folder = tmp_path / "producer-1.outbox"
    whole = made_segment(folder, rows)
    changed = whole[:at] + nonsense + whole[max(at, until) :]
    replace(segment_path(folder, 1), changed)
    found = read_all(folder)
    assert found == rows[: len(found)]
    rescued = list(salvage(changed, "producer-1", 1))
    assert [one for one in rows if one in rescued] == rescued


def test_a_segment_logged_as_a_value_is_not_taken_for_records(tmp_path: Path) -> None:
    inner = made_segment(tmp_path / "inner.outbox", [row(1)])
    folder = tmp_path / "producer-2.outbox"
    folder.mkdir()
    made = Segment.create(segment_path(folder, 1), Info("producer-2", 1, 0.0), 1, UNIT, sync=False)
    made.append(1, "a", inner)
    made.append(2, "b", inner)
    made.release()
    data = bytearray(segment_path(folder, 1).read_bytes())
    data[100] ^= 1
    assert [one.seq for one in salvage(bytes(data), "producer-2", 1)] == [2]


def test_a_segment_that_is_made_while_it_is_read_is_not_taken_for_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = segment_path(tmp_path, 1)
    path.write_bytes(bytes(64 * 1024))  # allocated, and nothing written yet
    made: list[Segment] = []

    def read_and_make(data: Any, size: int) -> Any:
        header = read_header(data, size)
        if not made:
            made.append(Segment.create(path, Info("p", 1, 0.0), 1, 256 * 1024, sync=False))
            made[0].append(1, "runlore.x", b"x" * 100_000)
        return header

    monkeypatch.setattr("runlore.producer.outboxes.segments.read_header", read_and_make)
    segments = Segments(tmp_path)
    assert [one.seq for one in segments.rows(0)] == [1]
    segments.close()
    made[0].release()
