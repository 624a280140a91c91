"""Redaction: whatever an event holds, the paths that are named lose it, everything else stays, on every machine alike."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runlore.schemas import (
    Actor,
    Erased,
    Event,
    EventDecodeError,
    MetadataLogged,
    MetadataRetracted,
    ModelStageChanged,
    NoteAdded,
    RunDescribed,
    RunFinished,
    RunStarted,
    parse_ref,
)
from runlore.schemas.codec import decode_event, encode_event
from runlore.schemas.events import AnyFact
from runlore.schemas.paths import PathParts
from runlore.schemas.redaction import WHOLE, content, redacted, shortest, whole_reason
from runlore.schemas.values import encode_value, pack_metadata

MODEL = (parse_ref("model:m@1"),)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.binary(max_size=8)
values = st.recursive(
    scalars, lambda inner: st.dictionaries(st.text(max_size=3), inner, max_size=3) | st.lists(inner, max_size=3)
)
groups = st.dictionaries(st.text(max_size=3), values, max_size=4)


def facts() -> st.SearchStrategy[AnyFact]:
    packed, text = groups.map(pack_metadata), st.text(max_size=8)
    return st.one_of(
        st.builds(MetadataLogged, st.just(MODEL), packed, st.booleans()),
        st.builds(MetadataRetracted, st.just(MODEL), st.just((("a",),)), text),
        st.builds(RunStarted, st.just("p"), st.just("r"), st.none(), packed),
        st.builds(RunDescribed, packed),
        st.builds(RunFinished, st.just("failed"), st.just("E"), st.none() | text),
        st.builds(ModelStageChanged, st.just(MODEL[0]), st.just("s"), st.none() | text),
        st.builds(NoteAdded, st.just(MODEL), text),
    )


def payload_of(fact: AnyFact) -> bytes:
    event = Event(
        id="01890000-0000-7000-8000-000000000000",
        schema=1,
        project="default",
        occurred_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
        actor=Actor("ada", "host", 1, "runlore"),
        producer_id="p",
        producer_seq=1,
        fact=fact,
        salt=bytes(16),
    )
    return encode_event(event)


def leaves(fact: Any) -> dict[PathParts, Any]:
    """What a fact holds, by path."""
    found: dict[PathParts, Any] = {}
    for name in ("text", "reason", "error_message"):
        if getattr(fact, name, None) is not None:
            found[name,] = getattr(fact, name)
    for name in ("metadata", "parameters", "environment"):
        _collect((name,), getattr(fact, name, {}), found)
    return found


def _collect(path: PathParts, group: dict[str, Any], found: dict[PathParts, Any]) -> None:
    for name, value in group.items():
        if isinstance(value, dict) and value:
            _collect((*path, name), value, found)
        else:
            found[*path, name] = value


@given(facts(), st.data())
def test_what_is_named_is_erased_and_the_rest_stays(fact: AnyFact, data: st.DataObject) -> None:
    payload = payload_of(fact)
    before = leaves(decode_event(payload).fact)
    assert sorted(content(payload)) == sorted(before)
    wanted = data.draw(st.sets(st.sampled_from(sorted(before)))) if before else set()
    after = decode_event(redacted(payload, wanted, "left"))
    found = leaves(after.fact)
    assert found.keys() == before.keys()
    for path, value in found.items():
        if path in wanted:
            assert (type(value), value) == (Erased, "left")
        else:
            assert encode_value(value) == encode_value(before[path])  # NaN is not equal to itself
    assert not after.salt
    assert after.actor == decode_event(payload).actor
    # Fewer paths say the same, and the order of paths is nothing.
    assert redacted(payload, shortest(payload, wanted), "left") == redacted(payload, sorted(wanted), "left")
    assert sorted(content(redacted(payload, wanted, "left"), erased=False)) == sorted(before.keys() - wanted)


@given(facts())
def test_a_part_after_another_comes_to_the_same_as_both_at_once(fact: AnyFact) -> None:
    payload = payload_of(fact)
    paths = sorted(content(payload))
    once = redacted(payload, paths, "left")
    again = payload
    for path in paths:
        again = redacted(again, [path], "left")
    assert again == (once if paths else payload)


@given(st.binary(max_size=40))
def test_whatever_is_in_quarantine_can_be_erased_as_a_whole(payload: bytes) -> None:
    erased = redacted(payload, [WHOLE], "left")
    assert whole_reason(erased) == "left"
    with pytest.raises(EventDecodeError, match="all of it was erased: left"):
        decode_event(erased)


@pytest.mark.parametrize(
    "path", [("targets",), ("stage",), ("text", "x"), ("reason",), ("metadata", "a"), ("error_type",)]
)
def test_what_is_no_content_of_an_event_is_not_erased(path: PathParts) -> None:
    with pytest.raises(EventDecodeError):
        redacted(payload_of(NoteAdded(MODEL, "hello")), [path], "left")


def test_a_text_field_takes_no_other_extension() -> None:
    payload = payload_of(NoteAdded(MODEL, "hello"))
    assert decode_event(redacted(payload, [("text",)], "left")).fact == NoteAdded(MODEL, Erased("left"))
    uri = payload.replace(b"\xa5hello", b"\xc7\x05\x0ahello")
    assert uri != payload
    with pytest.raises(EventDecodeError, match="Expected `str`"):
        decode_event(uri)
