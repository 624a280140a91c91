"""The hash of an event's payload, which tiles and leaves show to everybody, is no oracle for its values."""

from __future__ import annotations

import datetime as dt
from hashlib import sha256

from runlore.schemas import Actor, EntityRef, Event, MetadataLogged
from runlore.schemas.codec import encode_event
from runlore.schemas.ids import new_salt


def reviewed(approved: bool, salt: bytes = b"") -> bytes:
    """The hash of an event of which a colleague knows everything but one bit."""
    event = Event(
        id="01900000-0000-7000-8000-000000000001",
        schema=1,
        project="default",
        occurred_at=dt.datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=dt.UTC),
        actor=Actor("ada", "host-1", 7, "runlore 0.1.0"),
        producer_id="01900000-0000-7000-8000-000000000002",
        producer_seq=9,
        fact=MetadataLogged((EntityRef("model", "churn", "3"),), {"approved": approved}),
        salt=salt,
    )
    return sha256(encode_event(event)).digest()


def test_a_value_is_not_found_by_trying_all_values_against_the_hash_of_a_salted_event() -> None:
    guesses = {reviewed(True), reviewed(False)}
    assert not guesses & {reviewed(True, new_salt()), reviewed(False, new_salt())}


def test_of_an_event_without_a_salt_the_hash_gives_the_value_away_as_the_docs_say() -> None:
    assert reviewed(True) != reviewed(False)
    assert {guess for guess in (True, False) if reviewed(guess) == reviewed(True)} == {True}
