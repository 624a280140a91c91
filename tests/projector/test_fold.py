"""The fold: metadata, retractions, quarantine, duplicates and clocks in the view."""

from __future__ import annotations

from pathlib import Path

import pytest
from view_tools import current, folded, quarantine, query

from runlore.schemas import (
    CorruptLogError,
    MetadataRetracted,
    NoteAdded,
    parse_ref,
)
from tests.events import LogBuilder


@pytest.fixture
def log() -> LogBuilder:
    return LogBuilder()


def test_logging_again_replaces_a_group_whole_and_keeps_other_keys(log: LogBuilder, tmp_path: Path) -> None:
    log.log("artifact:a@1", {"n": 1, "g": {"x": 1, "y": {"z": 2}}})
    log.log("artifact:a@1", {"g": {"x": 5}})
    path = folded(log, tmp_path)
    assert current(path, "artifact:a@1") == {"n": 1, "g.x": 5}
    assert query(path, "SELECT type FROM metadata_history WHERE path = 'g.y.z' ORDER BY position") == [
        ("int",),
        ("removed",),
    ]


def test_merging_replaces_only_the_names_given(log: LogBuilder, tmp_path: Path) -> None:
    log.log("artifact:a@1", {"g": {"x": 1, "y": {"z": 2, "w": 3}}, "s": 1})
    log.log("artifact:a@1", {"g": {"y": {"z": 9}, "v": 4}, "s": {"t": 1}}, merge=True)
    log.log("artifact:a@1", {"g": {}}, merge=True)
    path = folded(log, tmp_path)
    assert current(path, "artifact:a@1") == {"g.x": 1, "g.y.z": 9, "g.v": 4, "s.t": 1}


def test_a_scalar_that_becomes_a_group_and_back_leaves_no_trace_in_the_head(log: LogBuilder, tmp_path: Path) -> None:
    for value in (1, {"x": 1}, {}, {"x": {"y": 2}}, "end"):
        log.log("artifact:a@1", {"k": value})
    path = folded(log, tmp_path)
    assert current(path, "artifact:a@1") == {"k": "end"}


def test_retracting_ends_leaves_with_the_reason_and_keeps_their_history(log: LogBuilder, tmp_path: Path) -> None:
    log.log("model:m@1", {"g": {"x": 1, "y": 2}, "train.loss": 0.5, "k": 1})
    target = (parse_ref("model:m@1"),)
    log.add(MetadataRetracted(target, (("g", "x"), ("train", "loss")), "wrong split"))
    path = folded(log, tmp_path)
    assert current(path, "model:m@1") == {"g.y": 2, "k": 1}
    ended = query(path, "SELECT path, value FROM metadata_history WHERE type = 'retracted' ORDER BY path")
    assert ended == [('"train.loss"', "wrong split"), ("g.x", "wrong split")]


def test_poison_is_quarantined_with_its_bytes_and_the_next_event_is_folded(log: LogBuilder, tmp_path: Path) -> None:
    log.log("artifact:a@1", {"k": 1})
    log.add_raw(b"\xff not msgpack", "id-1")
    log.add_raw(b"\x91" * 5000, "id-2")
    log.log("artifact:a@1", {"k": 2}, schema=999)
    log.log("artifact:a@1", {"k": 3}, project="elsewhere")
    good = log.log("artifact:a@1", {"k": 4})
    log.rows.append(good._replace(position=7, event_id=None))
    log.log("artifact:a@1", {"k": 5})
    path = folded(log, tmp_path)
    assert [row[:2] for row in quarantine(path)] == [(n, "decode") for n in (2, 3, 4, 5, 7)]
    assert query(path, "SELECT payload FROM quarantine WHERE position = 2") == [(b"\xff not msgpack",)]
    assert current(path, "artifact:a@1") == {"k": 5}


def test_an_event_that_fails_half_way_leaves_nothing(log: LogBuilder, tmp_path: Path) -> None:
    log.log(["artifact:new@1", "model:none@production"], {"k": 1})
    log.log("artifact:b@1", {"k": 1})
    path = folded(log, tmp_path)
    assert query(path, "SELECT reference FROM entities ORDER BY entity_id") == [
        ("artifact:b",),
        ("artifact:b@1",),
    ]
    assert len(quarantine(path)) == 1


def test_a_duplicate_is_never_folded(log: LogBuilder, tmp_path: Path) -> None:
    row = log.log("artifact:a@1", {"k": 1})
    log.add_raw(row.payload, row.event_id, duplicate_of=1)
    path = folded(log, tmp_path)
    assert query(path, "SELECT count(*) FROM history JOIN paths USING (path_id) WHERE scope = 'metadata'") == [(1,)]
    assert query(path, "SELECT position FROM view_state") == [(2,)]


def test_a_batch_that_does_not_follow_is_refused(log: LogBuilder, tmp_path: Path) -> None:
    log.log("artifact:a@1", {"k": 1})
    view = log.fold_into(tmp_path / "view.db")
    with pytest.raises(CorruptLogError):
        view.fold(log.rows)
    assert view.position == 1


def test_a_producer_with_missing_numbers_shows(log: LogBuilder, tmp_path: Path) -> None:
    for seq in (1, 2, 5, 4):
        log.log("artifact:a@1", {"k": seq}, producer_seq=seq)
    path = folded(log, tmp_path)
    assert query(path, "SELECT missing, late FROM producers") == [(1, 1)]


def test_recorded_time_never_goes_back(log: LogBuilder, tmp_path: Path) -> None:
    log.log("artifact:a@1", {"k": 1})
    log.rows.append(log.log("artifact:a@1", {"k": 2})._replace(recorded_ns=5))
    del log.rows[1]
    path = folded(log, tmp_path)
    first, second = query(path, "SELECT recorded_us FROM events ORDER BY position")
    assert first == second


def test_notes_keep_their_history(log: LogBuilder, tmp_path: Path) -> None:
    for text in ("first", "second"):
        log.add(NoteAdded((parse_ref("model:m@1"),), text))
    path = folded(log, tmp_path)
    rows = query(path, "SELECT value FROM history JOIN paths USING (path_id) WHERE path = 'note' ORDER BY position")
    assert rows == [("first",), ("second",)]
