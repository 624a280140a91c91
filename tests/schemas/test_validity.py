"""What a producer may emit the fold takes, and what it may not emit the fold refuses: one validator."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_codec import FACTS, MODEL, event

from runlore.schemas import (
    ArgumentError,
    ArtifactVersionConsumed,
    ArtifactVersionProduced,
    EntityRef,
    Event,
    EventLimitError,
    InvalidReferenceError,
    MetadataLogged,
    MetadataRetracted,
    MetadataTypeError,
    ModelStageChanged,
    ModelVersionCreated,
    NoteAdded,
    RunFinished,
    RunloreError,
    RunStarted,
    StepStarted,
)
from runlore.schemas.codec import decode_event, encode_event
from runlore.schemas.events import AnyFact, event_type
from runlore.schemas.limits import (
    COUNTED_BYTES,
    MAX_DEPTH,
    MAX_LEAVES,
    MAX_PATH_CHARACTERS,
    MAX_PATHS,
    MAX_ROWS,
    MAX_TARGETS,
)
from runlore.schemas.validity import check_event, check_size, exact_fact
from runlore.schemas.values import pack_metadata

texts = st.one_of(
    st.text(st.characters(exclude_categories=[]), max_size=4), st.sampled_from(["latest", "a", "x" * 201])
)
loose = st.one_of(texts, texts.map(np.str_), st.none(), st.integers(), st.floats(), st.booleans())
refs = st.builds(
    EntityRef, st.sampled_from(["model", "step", "run", "data", "<script>", ""]), loose, loose, loose, loose
)
paths = st.lists(st.one_of(loose, st.lists(loose, max_size=3).map(tuple)), max_size=3).map(tuple)
facts = st.one_of(
    st.builds(MetadataLogged, st.lists(refs, max_size=2).map(tuple), st.just({}), st.booleans()),
    st.builds(MetadataRetracted, st.lists(refs, max_size=2).map(tuple), paths, loose),
    st.builds(RunStarted, loose, loose, st.none() | refs),
    st.builds(RunFinished, st.sampled_from(["completed", "failed", "done", ""]), loose, loose),
    st.builds(StepStarted, st.none() | refs),
    st.builds(ArtifactVersionProduced, refs, loose, st.booleans()),
    st.builds(ArtifactVersionConsumed, refs, st.none() | refs),
    st.builds(ModelVersionCreated, refs),
    st.builds(ModelStageChanged, refs, loose, loose),
    st.builds(NoteAdded, st.lists(refs, max_size=2).map(tuple), loose),
)


@settings(max_examples=400, deadline=None)
@given(facts)
def test_a_fact_that_the_producer_takes_is_exact_on_the_wire_and_the_fold_takes_it(given_fact: AnyFact) -> None:
    try:
        exact = exact_fact(given_fact)
    except ArgumentError:
        return
    decoded = decode_event(encode_event(event(exact)))
    check_event(decoded)
    assert decoded.fact == exact
    assert exact_fact(decoded.fact) == exact


@settings(max_examples=400, deadline=None)
@given(facts)
def test_a_fact_on_the_wire_is_taken_by_both_or_by_none(given_fact: AnyFact) -> None:
    try:  # as another program would write it, past every check of ours
        decoded = decode_event(encode_event(event(given_fact)))
    except (RunloreError, TypeError, UnicodeEncodeError, OverflowError):
        return
    assert _takes(lambda: check_event(decoded)) == _takes(lambda: exact_fact(decoded.fact))


def _takes(check: Any) -> bool:
    try:
        check()
    except RunloreError:
        return False
    return True


keys = st.one_of(st.text(max_size=3), st.integers(0, 3), st.booleans(), st.none())
values = st.recursive(
    st.one_of(st.none(), st.integers(), st.floats(), st.text(max_size=3), st.tuples(), st.just([]), st.just({})),
    lambda inner: st.one_of(
        st.lists(inner, max_size=2), st.tuples(inner, inner), st.dictionaries(keys, inner, max_size=3)
    ),
    max_leaves=6,
)
wraps = st.lists(st.sampled_from(["dict", "list", "tuple"]), max_size=MAX_DEPTH + 3)


def _wrapped(value: Any, kinds: list[str]) -> Any:
    for kind in kinds:
        value = {"d": value} if kind == "dict" else [value] if kind == "list" else (value,)
    return value


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(keys, st.builds(_wrapped, values, wraps), max_size=3))
def test_metadata_that_is_packed_is_taken_by_the_fold_and_packs_again(metadata: dict[Any, Any]) -> None:
    try:
        packed = pack_metadata(metadata)
    except MetadataTypeError:
        return
    check_size(MetadataLogged((MODEL,), packed))
    stored = encode_event(event(MetadataLogged((MODEL,), packed)))
    decoded = decode_event(stored)
    check_event(decoded)
    assert isinstance(decoded.fact, MetadataLogged)
    assert encode_event(event(MetadataLogged((MODEL,), pack_metadata(decoded.fact.metadata)))) == stored


@settings(max_examples=300, deadline=None)
@given(st.dictionaries(st.text(max_size=3), st.builds(_wrapped, st.integers() | st.just([]), wraps), max_size=3))
def test_metadata_on_the_wire_is_taken_by_both_or_by_none(metadata: dict[str, Any]) -> None:
    decoded = MetadataLogged((MODEL,), metadata)
    assert _takes(lambda: check_event(event(decoded))) == _takes(lambda: pack_metadata(metadata))


@pytest.mark.parametrize("fact", FACTS, ids=event_type)
def test_every_golden_event_is_valid(fact: AnyFact) -> None:
    check_event(event(fact))
    assert exact_fact(fact) == fact


def envelope(**changes: Any) -> Event:
    return msgspec.structs.replace(event(NoteAdded((MODEL,), "x")), **changes)


@pytest.mark.parametrize(
    "changes",
    [{"project": ""}, {"project": "a\nb"}, {"run": ""}, {"run": "x" * 300_000}, {"step": ""}, {"producer_id": ""}],
    ids=str,
)
def test_an_envelope_with_bad_names_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(InvalidReferenceError):
        check_event(envelope(**changes))


def many(count: int, ref: EntityRef = MODEL) -> tuple[EntityRef, ...]:
    return (ref,) * count


@pytest.mark.parametrize(
    ("fact", "reason"),
    [
        (MetadataLogged(many(MAX_TARGETS + 1), {}), "50,001 entities"),
        (NoteAdded(many(MAX_TARGETS + 1), "x"), "50,001 entities"),
        (MetadataLogged(many(1001), {str(n): n for n in range(MAX_ROWS // 1000)}), "1,000 values for each of 1,001"),
        (MetadataLogged(many(1), {"g": {str(n): n for n in range(MAX_LEAVES + 1)}}), "200,001 values"),
        (RunStarted("p", "n", None, {"g": {str(n): n for n in range(MAX_LEAVES + 1)}}), "200,001 values"),
        (
            MetadataLogged(many(1), {"k" * 60_000: {str(n): n for n in range(MAX_PATH_CHARACTERS // 60_000 + 1)}}),
            "the paths of all values",
        ),
        (MetadataRetracted(many(1), (("a",),) * (MAX_PATHS + 1), "x"), "10,001 paths"),
        (MetadataRetracted(many(1001), (("a",),) * 1000, "x"), "1,000 paths for each of 1,001"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_event_about_too_much_is_refused(fact: AnyFact, reason: str) -> None:
    with pytest.raises(EventLimitError, match=reason):
        check_event(event(fact))
    assert len(encode_event(event(fact))) > COUNTED_BYTES


def test_an_event_that_is_not_counted_cannot_be_about_too_much() -> None:
    """The least bytes that exceed the product of two counts, with everything else as small as it gets."""
    ref, path = EntityRef("a", "b"), ("",)
    least = min(
        len(encode_event(event(MetadataRetracted(many(targets, ref), (path,) * (MAX_ROWS // targets + 1), ""))))
        for targets in (200, 300, 365, 450, 600)
    )
    assert least > COUNTED_BYTES
