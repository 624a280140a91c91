"""Signatures of events: what is signed, and which changes the rules for one event refuse."""

from __future__ import annotations

import datetime as dt
from hashlib import sha256
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from runlore.schemas import Actor, EntityRef, Erased, Event, MetadataLogged, NoteAdded
from runlore.schemas.acceptance import Acceptance, Rejection
from runlore.schemas.codec import decode_event, encode_event
from runlore.schemas.events import Signature
from runlore.schemas.redaction import redacted
from runlore.schemas.signatures import DOMAIN, owned_id, owner_of
from tests.signed_events import ADA, EVE, public, signed

EVENT = Event(
    id="01900000-0000-7000-8000-000000000001",
    schema=1,
    project="default",
    occurred_at=dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC),
    actor=Actor("ada", "host-1", 7, "runlore 0.1.0"),
    producer_id="01900000-0000-7000-8000-000000000002",
    producer_seq=9,
    fact=NoteAdded((EntityRef("model", "churn"),), "look here"),
    salt=bytes(16),
)
VALUES = replace(EVENT, fact=MetadataLogged((EntityRef("model", "churn"),), {"lr": 0.5, "user": "bob"}))
SIGNED = signed(VALUES)


def judged(payload: bytes, erased: bool = False) -> Event | Rejection:
    return Acceptance().event(EVENT.id, "runlore.default.model.churn", payload, erased)


def refusal(payload: bytes, erased: bool = False) -> str:
    found = judged(payload, erased)
    assert isinstance(found, Rejection)
    assert found.stage == "signature"
    return found.why


def test_the_signature_is_over_all_bytes_before_it() -> None:
    """The vector of docs/protocol.md."""
    payload = signed(EVENT)
    body, signature = payload[:-64], payload[-64:]
    assert body.endswith(b"\xa5value\xc4\x40")
    assert sha256(body).hexdigest() == "fe6c3eae53030f4f9f712eb3be2afb32ec22da3fb203a2b882c5bf685aca2fc4"
    assert signature.hex() == (
        "a07d8145c121f6fd54cb0fd508d064af4c470f9a43b55be616e080dfa9821de2"
        "98ffc456ba790db3c1027115572ba36436e724195d4e152d968321ef1a928600"
    )
    ADA.public_key().verify(signature, DOMAIN + sha256(body).digest())
    assert isinstance(judged(payload), Event)


def test_an_event_without_key_needs_no_signature() -> None:
    assert judged(encode_event(EVENT)) == decode_event(encode_event(EVENT))
    assert judged(encode_event(replace(EVENT, producer_id="job+7"))).__class__ is Event


def test_every_changed_byte_of_a_signed_event_is_refused() -> None:
    for at in range(len(SIGNED)):
        changed = SIGNED[:at] + bytes([SIGNED[at] ^ 1]) + SIGNED[at + 1 :]
        assert isinstance(judged(changed), Rejection), at


@pytest.mark.parametrize(
    "change",
    [
        {"fact": replace(VALUES.fact, metadata={"lr": 0.6})},
        {"actor": Actor("eve", "host-1", 7, "runlore 0.1.0")},
        {"producer_seq": 10},
        {"occurred_at": dt.datetime(2025, 1, 1, tzinfo=dt.UTC)},
        {"salt": bytes(range(16))},
        {"run": "r9"},
        {"signature": Signature(key=public(ADA), value=bytes(64))},
        {"signature": decode_event(signed(EVENT)).signature},
    ],
)
def test_the_signature_of_another_content_is_refused(change: dict[str, Any]) -> None:
    assert "does not hold" in refusal(encode_event(replace(decode_event(SIGNED), **change)))


def test_a_producer_that_signs_takes_events_of_its_key_only() -> None:
    owned = decode_event(SIGNED).producer_id
    stripped = replace(VALUES, producer_id=owned)
    assert "unsigned" in refusal(encode_event(stripped))
    assert "signs with key" in refusal(signed(VALUES, EVE, producer_id=owned))
    assert "unsigned events" in refusal(signed(VALUES, EVE, producer_id=VALUES.producer_id))


def test_a_key_or_signature_of_another_size_is_refused() -> None:
    event = decode_event(SIGNED)
    assert event.signature is not None
    for change in ({"key": event.signature.key[:31]}, {"value": event.signature.value + b"x"}):
        assert "bytes" in refusal(encode_event(replace(event, signature=replace(event.signature, **change))))


def test_a_signature_that_is_not_the_last_field_is_refused() -> None:
    plain = msgspec.msgpack.decode(SIGNED)
    moved = {"signature": plain.pop("signature"), **plain}
    assert "last field" in refusal(msgspec.msgpack.encode(moved))


def test_a_redacted_event_keeps_a_signature_that_can_be_checked() -> None:
    once = redacted(SIGNED, [("metadata", "user")], "left")
    twice = redacted(once, [("metadata", "lr")], "left, too")
    for left in (once, twice):
        event = judged(left, erased=True)
        assert isinstance(event, Event)
        assert event.signature is not None
        assert (event.salt, event.signature.hash) == (b"", sha256(SIGNED[:-64]).digest())
    assert "no erasure" in refusal(once)
    assert "does not hold" in refusal(once.replace(sha256(SIGNED[:-64]).digest(), bytes(32)), erased=True)
    assert "not there" in refusal(SIGNED, erased=True)


def test_a_signed_note_that_was_erased_is_still_the_signers() -> None:
    event = judged(redacted(signed(EVENT), [("text",)], "left"), erased=True)
    assert isinstance(event, Event)
    assert event.fact == NoteAdded((EntityRef("model", "churn"),), Erased("left"))


def test_the_hash_of_a_signed_event_cannot_vouch_for_another_one() -> None:
    """Who has seen a signed event knows its hash and signature."""
    seen = decode_event(redacted(SIGNED, [("metadata", "user")], "left"))
    other = replace(seen, fact=MetadataLogged((EntityRef("model", "churn"),), {"lr": 9.9}))
    assert "no erasure" in refusal(encode_event(other))


def test_the_owner_of_a_producer_id_is_read_exactly() -> None:
    assert owner_of(owned_id("made", public(ADA))) == public(ADA).hex()[:32]
    for text in ("made", "made+", f"made+{'A' * 32}", f"made+{'a' * 31}", f"made-{'a' * 32}", f"+{'0' * 33}"):
        assert owner_of(text) is None
