"""docs/protocol.md names what travels."""

from __future__ import annotations

import re
from hashlib import sha256
from pathlib import Path

import msgspec

from runlore.producer.event_signing import EventSigner
from runlore.query.remote import codec
from runlore.query.remote.methods import CLIENT, ENTITY, INNER, Call, Reply
from tests.signed_events import ADA

PAGE = (Path(__file__).parents[2] / "docs" / "protocol.md").read_text()


def rows() -> dict[str, str]:
    return {
        name: rest
        for names, rest in re.findall(r"^\| (`.+?`) \| (.*) \|$", PAGE, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", names)
    }


def test_the_fields_of_what_travels_are_on_the_page_in_their_order() -> None:
    fields = codec._FIELDS
    assert {kind.__name__: ", ".join(names) for kind, names in fields.items()}.items() <= rows().items()


def test_the_signed_event_of_the_page_is_what_a_producer_sends() -> None:
    signing = PAGE.partition("### Signing")[2].partition("### Shards")[0]
    body, results = (bytes.fromhex(block) for block in re.findall(r"```text\n([0-9a-f\n]+)```", signing))
    assert len(body) == 389
    assert sha256(body).digest() + EventSigner(ADA).signed(body + bytes(64))[-64:] == results


def test_every_tag_is_on_the_page() -> None:
    assert {"value", "entity", *(kind.__name__ for kind in codec._PACKERS)} <= rows().keys()


def test_question_and_reply_are_on_the_page_field_by_field() -> None:
    question = [field.name for field in msgspec.structs.fields(Call)]
    listed = list(rows())
    assert listed[: len(question)] == question
    reply = PAGE.partition("### The reply")[2]
    found = [field for field in Reply.__struct_fields__ if field != "node"]
    assert re.findall(r"`(\w+)` \((?:int|str|bool)\)", reply) == found


def test_every_method_that_travels_is_on_the_page() -> None:
    question = PAGE.partition("### The question")[2].partition("### The reply")[0]
    client, entity, inner = re.split(
        r"^(?:Of an entity|And): ", question.partition("Methods of the client:")[2], flags=re.MULTILINE
    )
    assert set(re.findall(r"`(\w+)`", client)) == CLIENT
    assert set(re.findall(r"`(\w+)`", entity)) == ENTITY
    assert set(re.findall(r"`(\w+)\(", inner)) == INNER
