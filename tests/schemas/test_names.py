"""Names, versions, references, paths and texts: one validator, exact types, and the same answer every time."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runlore.schemas import ArgumentError, EntityRef, InvalidReferenceError, parse_ref
from runlore.schemas.limits import MAX_LABEL_BYTES, MAX_NAME_BYTES, MAX_STEP_BYTES
from runlore.schemas.names import check_label, check_name, check_text, check_version
from runlore.schemas.paths import check_path
from runlore.schemas.references import check_stage, checked, checked_ref


class Stage(enum.StrEnum):
    PRODUCTION = "production"


class Old(str, enum.Enum):  # noqa: UP042 -- formats as its name, unlike StrEnum: what people still write
    PRODUCTION = "production"


class Plain(enum.Enum):
    PRODUCTION = "production"
    SECOND = 2


anything = st.one_of(
    st.text(st.characters(exclude_categories=[]), max_size=300),
    st.text(max_size=5).map(np.str_),
    st.sampled_from([*Stage, *Old, *Plain]),
    st.integers(),
    st.integers(0, 9).map(np.int64),
    st.floats(),
    st.booleans(),
    st.none(),
    st.binary(max_size=3),
    st.lists(st.text(max_size=2), max_size=2),
)


@given(anything)
def test_what_is_checked_is_exact_and_is_not_changed_by_checking_it_again(given_value: Any) -> None:
    for check in (check_name, check_label, check_text):
        try:
            text = check("name", given_value)
        except ArgumentError:
            continue
        assert type(text) is str
        text.encode()
        assert check("name", text) == text
    for check_one in (check_version, check_stage, check_path, parse_ref):
        try:
            found: Any = check_one(given_value)
        except InvalidReferenceError:
            continue
        assert check_one(found) == found
        assert type(found) is (str if check_one in (check_version, check_stage) else type(found))


@given(anything, anything, anything, anything, anything)
def test_a_reference_of_anything_is_exact_or_refused(
    kind: Any, name: Any, version: Any, run: Any, pipeline: Any
) -> None:
    for of in (kind, "model", "step", "run"):
        try:
            ref = checked(EntityRef(of, name, version, run, pipeline))
        except InvalidReferenceError:
            continue
        assert {type(part) for part in (ref.kind, ref.name, ref.version, ref.run, ref.pipeline)} <= {str, type(None)}
        assert checked(ref) == ref
        assert ref.pipeline is not None or parse_ref(str(ref)) == ref  # a step by its pipeline has no text of its own


@pytest.mark.parametrize(
    ("version", "text"),
    [
        (3, "3"), (np.int64(3), "3"), ("3", "3"), (np.str_("3"), "3"), (Plain.SECOND, "2"), (10**20, "1" + "0" * 20),
        (Stage.PRODUCTION, "production"), (Old.PRODUCTION, "production"), (Plain.PRODUCTION, "production"),
    ],
)  # fmt: skip
def test_a_version_is_text_or_a_whole_number(version: Any, text: str) -> None:
    assert checked_ref("model", "churn", version) == EntityRef("model", "churn", text)


@pytest.mark.parametrize("version", [2.0, np.float64(2), 2.5, True, np.bool_(True), b"2", (2,), 10**300, "", "a\nb"])
def test_a_version_that_may_mean_two_things_is_refused(version: Any) -> None:
    with pytest.raises(InvalidReferenceError, match="version"):
        checked_ref("model", "churn", version)


@pytest.mark.parametrize(
    "name", ["", None, 5, True, b"name", ["name"], "\ud800", "a\x00b", "\x7f", "x" * (MAX_NAME_BYTES + 1), "ü" * 101]
)
def test_what_is_no_name_is_refused(name: Any) -> None:
    for ref in (EntityRef("model", name), EntityRef("run", name), EntityRef("step", "s", run=name)):
        with pytest.raises(InvalidReferenceError):
            checked(ref)


@pytest.mark.parametrize("kind", ["", "Model", "<script>", "a b", "x" * 41, "\ud800", None, 5, "model\n"])
def test_what_is_no_kind_is_refused(kind: Any) -> None:
    with pytest.raises(InvalidReferenceError, match="kind"):
        checked(EntityRef(kind, "name"))


def test_a_steps_name_has_room_for_the_number_of_its_call() -> None:
    called = "x" * MAX_NAME_BYTES + "_12"
    assert checked(EntityRef("step", called, run="r")).name == called
    with pytest.raises(InvalidReferenceError, match=f"at most {MAX_STEP_BYTES}"):
        checked(EntityRef("step", "x" * (MAX_STEP_BYTES + 1), run="r"))


def test_a_label_may_hold_any_character_but_is_text_of_bounded_size() -> None:
    assert check_label("run name", np.str_("line\nbreak")) == "line\nbreak"
    for label in (5, None, "\ud800", "x" * (MAX_LABEL_BYTES + 1)):
        with pytest.raises(InvalidReferenceError, match="run name"):
            check_label("run name", label)


def test_a_text_keeps_what_can_be_kept() -> None:
    assert check_text("reason", "bad \ud800 bytes\n") == "bad ? bytes\n"
    with pytest.raises(ArgumentError, match="reason must be text, not int"):
        check_text("reason", 5)


@pytest.mark.parametrize(
    ("path", "parts"),
    [
        ("a.b", ("a", "b")), (("a", 1, None, True), ("a", "1", "null", "true")), (["a", "b.c"], ("a", "b.c")),
        ((np.str_("a"),), ("a",)), (Old.PRODUCTION, ("production",)), (("",), ("",)), ('""', ("",)),
    ],
)  # fmt: skip
def test_a_path_is_text_or_the_keys_as_they_were_logged(path: Any, parts: tuple[str, ...]) -> None:
    assert check_path(path) == parts
    assert {type(part) for part in check_path(path)} == {str}


@pytest.mark.parametrize(
    "path", ["", (), [], 5, None, b"a", ("a", b"b"), ("a", ("b",)), "\ud800", '"\\ud800"', {"a": 1}]
)
def test_what_is_no_path_is_refused(path: Any) -> None:
    with pytest.raises(InvalidReferenceError, match="path"):
        check_path(path)
