"""The stored bytes: pinned for ever, read back exactly, and refused clearly when they are not ours."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runlore.schemas import (
    Actor,
    ArtifactVersionConsumed,
    ArtifactVersionProduced,
    EntityRef,
    Event,
    EventDecodeError,
    Fact,
    MetadataLogged,
    MetadataRetracted,
    ModelStageChanged,
    ModelVersionCreated,
    NoteAdded,
    RunDescribed,
    RunFinished,
    RunStarted,
    StepFinished,
    StepStarted,
    StorageSize,
    TagsChanged,
)
from runlore.schemas.codec import decode_event, decode_head, encode_event
from runlore.schemas.events import event_type, fact_types
from runlore.schemas.values import pack_metadata

GOLDEN = Path(__file__).parent / "golden"
"""One file per fact and schema version. Never change one: add a new version."""

ARTIFACT, MODEL = EntityRef("artifact", "data", "3"), EntityRef("model", "churn")
METADATA = {"g": {"x": 0.5, "nan": float("nan")}, "size": StorageSize(1500), "t": (1, "a", None)}
FACTS: list[Fact] = [
    MetadataLogged((ARTIFACT, MODEL), pack_metadata(METADATA), True),
    MetadataRetracted((ARTIFACT,), (("g", "x"), ("size",)), "wrong"),
    RunStarted("nightly", "nightly-1", MODEL, {"lr": 0.1}),
    RunFinished("failed", "ValueError", "bad"),
    StepStarted(MODEL, {"lr": 0.1}),
    StepFinished("completed"),
    ArtifactVersionProduced(ARTIFACT, "pandas.DataFrame", True),
    ArtifactVersionConsumed(ARTIFACT, EntityRef("step", "load", run="r1")),
    ModelVersionCreated(MODEL),
    ModelStageChanged(MODEL, "production", "best so far"),
    NoteAdded((MODEL,), "look here"),
    TagsChanged((MODEL, ARTIFACT), ("baseline", "cpu"), ("draft",)),
    RunDescribed(pack_metadata({"python": "3.11.7", "git": {"commit": "1a2b3c", "dirty": False}})),
]


def event(fact: Fact) -> Event:
    return Event(
        id="01900000-0000-7000-8000-000000000001",
        schema=1,
        project="default",
        occurred_at=dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC),
        actor=Actor("ada", "host-1", 7, "runlore 0.1.0"),
        producer_id="01900000-0000-7000-8000-000000000002",
        producer_seq=9,
        fact=fact,  # type: ignore[arg-type]
        run="r1",
        step="train",
        traceparent="00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        causation_id="01900000-0000-7000-8000-000000000003",
    )


def test_there_is_a_golden_event_for_every_fact() -> None:
    assert [type(fact) for fact in FACTS] == list(fact_types())


@pytest.mark.parametrize("fact", FACTS, ids=event_type)
def test_bytes_are_the_golden_ones_and_read_back(fact: Fact) -> None:
    golden = (GOLDEN / f"{event_type(fact)}.v1.msgpack").read_bytes()
    assert encode_event(event(fact)) == golden
    decoded = decode_event(golden)
    if isinstance(fact, MetadataLogged):
        assert repr(decoded.fact) == repr(MetadataLogged(fact.targets, METADATA, True))
    else:
        assert decoded == event(fact)
    head = decode_head(golden)
    assert (head.id, head.fact.type, head.occurred_at) == (decoded.id, event_type(fact), decoded.occurred_at)


def test_a_salt_is_one_more_field_at_the_end() -> None:
    golden, salt = (GOLDEN / "note_added.v1.msgpack").read_bytes(), bytes(range(16))
    salted = msgspec.structs.replace(event(NoteAdded((MODEL,), "look here")), salt=salt)
    assert encode_event(salted) == bytes([golden[0] + 1]) + golden[1:] + b"\xa4salt\xc4\x10" + salt
    assert decode_event(encode_event(salted)) == salted


def changed(**changes: Any) -> bytes:
    plain = msgspec.msgpack.decode(encode_event(event(NoteAdded((MODEL,), "x"))))
    return msgspec.msgpack.encode({**plain, **changes})


def test_a_newer_schema_says_upgrade() -> None:
    with pytest.raises(EventDecodeError, match="upgrade runlore"):
        decode_event(changed(schema=2))


def test_unknown_fields_of_a_newer_writer_are_ignored() -> None:
    assert decode_event(changed(extra={"new": 1})) == event(NoteAdded((MODEL,), "x"))


def test_an_older_schema_passes_its_upcaster() -> None:
    def upcast(old: dict[str, Any]) -> dict[str, Any]:
        return {**old, "fact": {**old["fact"], "text": old["fact"]["text"].upper()}}

    assert decode_event(changed(schema=0), {0: upcast}) == event(NoteAdded((MODEL,), "X"))
    with pytest.raises(EventDecodeError, match="no way from event schema 0"):
        decode_event(changed(schema=0))


@pytest.mark.parametrize(
    "payload",
    [
        b"",
        b"\xc1",
        b"hello",
        b"\x91" * 100_000,
        changed(fact={"type": "never_heard_of"}),
        changed(occurred_at="yesterday"),
        changed(project=5),
        changed(fact={"type": "metadata_logged", "targets": [], "metadata": {"k": msgspec.msgpack.Ext(99, b"")}}),
        changed(fact={"type": "metadata_logged", "targets": [], "metadata": {"k": msgspec.msgpack.Ext(5, b"x")}}),
        changed(fact={"type": "metadata_logged", "targets": [], "metadata": {"k": msgspec.msgpack.Ext(9, b"x")}}),
        changed(
            fact={
                "type": "metadata_logged",
                "targets": [],
                "metadata": {"k": msgspec.msgpack.Ext(3, b"\x91\x90")},
            }
        ),
        changed(
            fact={
                "type": "metadata_logged",
                "targets": [],
                "metadata": {"k": msgspec.msgpack.Ext(14, b"\xff")},
            }
        ),
        changed(fact={"type": "metadata_logged", "targets": [], "metadata": {"k": msgspec.msgpack.Ext(8, b"x")}}),
    ],
)
def test_broken_bytes_raise_the_one_error_that_quarantine_expects(payload: bytes) -> None:
    with pytest.raises(EventDecodeError):
        decode_event(payload)


@given(st.binary(max_size=200))
def test_random_bytes_raise_nothing_else(payload: bytes) -> None:
    for decode in (decode_event, decode_head):
        with pytest.raises(EventDecodeError):
            decode(payload)
