"""The names that follow from a shard's number."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runlore.query.find.order import FoundRow, read_cursor, write_cursor
from runlore.schemas import FilterError, RunloreError, SettingsError, read_settings
from runlore.schemas.shards import MAX_SHARD, Shard, is_signing_subject, read_shard, shard_key
from runlore.schemas.subjects import SIGNING_SUBJECT
from runlore.store.audit.leaf import origin_of, stream_in

shards = st.builds(Shard, st.integers(0, MAX_SHARD))


def test_shard_0_has_the_names_that_it_always_had() -> None:
    first = Shard()
    assert (first.stream, first.subjects, first.project_prefix("a.b")) == ("RUNLORE", "runlore.>", "runlore.a%2Eb.")
    assert (first.query_name, first.query_subject) == ("runlore-query", "runlore-query.v1")
    assert (first.archive_subject, first.snapshot_bucket) == ("runlore_archive", "RUNLORE_SNAPSHOTS")
    assert first.subject("runlore.p.model.churn") == "runlore.p.model.churn"


def test_another_shard_has_its_number_in_each_name() -> None:
    seventh = Shard(7)
    assert (seventh.stream, seventh.subjects) == ("RUNLORE_07", "runlore-07.>")
    assert (seventh.query_name, seventh.query_subject) == ("runlore-query-07", "runlore-query-07.v1")
    assert (seventh.archive_subject, seventh.snapshot_bucket) == ("runlore-07_archive", "RUNLORE_07_SNAPSHOTS")
    assert seventh.subject("runlore.p.model.churn") == "runlore-07.p.model.churn"
    assert seventh.subject("runlore-07.p.model.churn") == "runlore-07.p.model.churn"
    assert shard_key("a.b") == "$KV.runlore-shards.a%2Eb"


@given(shards)
def test_a_shard_is_known_by_its_stream_its_origin_and_its_subjects(shard: Shard) -> None:
    assert Shard.of_stream(shard.stream) == shard
    assert stream_in(origin_of("an epoch", shard.stream)) == shard.stream
    assert Shard.prefix_of(f"{shard.project_prefix('p')}model.churn", "p") == shard.project_prefix("p")
    assert Shard.prefix_of(f"{shard.project_prefix('p')}model.churn", "q") is None
    assert read_shard(str(shard.number).encode()) == shard


@given(shards)
def test_statements_about_keys_have_a_subject_in_each_shard_that_no_project_has(shard: Shard) -> None:
    assert is_signing_subject(shard.signing_subject)
    assert not is_signing_subject(f"{shard.project_prefix('=signing')}keys")
    assert not is_signing_subject(f"x{shard.signing_subject}")
    assert Shard().signing_subject == SIGNING_SUBJECT


@pytest.mark.parametrize("name", ["RUNLORE_00", "RUNLORE_1", "RUNLORE_100", "KV_runlore-shards", "OBJ_RUNLORE", ""])
def test_other_streams_are_no_shards(name: str) -> None:
    assert Shard.of_stream(name) is None


@pytest.mark.parametrize("subject", ["runlore-00.p.x", "runlore-1.p.x", "runlore-query.p.x", "runlore.pq.x", "p.x"])
def test_other_subjects_are_of_no_project(subject: str) -> None:
    assert Shard.prefix_of(subject, "p") is None


@pytest.mark.parametrize("value", [b"one", b"-1", b"100", b"1.0", b"\xff", "१".encode()])
def test_a_key_without_a_number_is_an_error_and_an_empty_one_is_shard_0(value: bytes) -> None:
    assert read_shard(b"") == Shard()
    with pytest.raises(RunloreError, match="runlore-shards"):
        read_shard(value)


@pytest.mark.parametrize("text", ["-1", "100", "x"])
def test_a_setting_beyond_the_numbers_is_refused(text: str) -> None:
    assert (read_settings({}).shard, read_settings({"RUNLORE_SHARD": "99"}).shard) == (0, 99)
    with pytest.raises(SettingsError, match="RUNLORE_SHARD"):
        read_settings({"RUNLORE_SHARD": text})


def test_a_cursor_of_another_shard_is_refused() -> None:
    row = FoundRow(1, 2)
    cursor = write_cursor(b"question", row, Shard(1))
    assert read_cursor(cursor, b"question", Shard(1)) == row
    with pytest.raises(FilterError, match="shard 1"):
        read_cursor(cursor, b"question", Shard())
