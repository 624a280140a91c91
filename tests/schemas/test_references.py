"""References, paths and subjects: one text form each, and bad input is refused with a reason."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runlore.schemas import EntityRef, InvalidReferenceError, parse_ref
from runlore.schemas.paths import format_path, parse_path
from runlore.schemas.subjects import subject_for

names = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=30)
parts = st.text(st.characters(exclude_categories=["Cs"]), max_size=10)


@given(st.one_of(
    st.builds(EntityRef, st.sampled_from(["artifact", "model", "dataset"]), names, st.none() | names),
    st.builds(lambda run, name: EntityRef("step", name, run=run), names, names),
    st.builds(EntityRef, st.just("run"), names),
))  # fmt: skip
def test_a_reference_is_read_back_from_its_text(ref: EntityRef) -> None:
    assert parse_ref(str(ref)) == ref


@pytest.mark.parametrize(
    "text",
    [
        "artifact:processed_data@3",
        "model:churn@production",
        "run:abc",
        "step:abc/train_model",
        "dataset:a b/c",
    ],
)
def test_references_read_as_the_design_writes_them(text: str) -> None:
    assert str(parse_ref(text)) == text


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("churn", "has no kind"),
        ("Model:churn", "lower-case"),
        ("model:", "non-empty"),
        ("model:a@", "non-empty"),
        ("step:train", "step:<run id>/<step name>"),
        ("run:a@1", "has no version"),
        ("model:" + "x" * 201, "at most 200"),
        ("model:a\nb", "control characters"),
    ],
)
def test_a_bad_reference_says_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(InvalidReferenceError, match=re.escape(reason)):
        parse_ref(text)


@given(st.lists(parts, min_size=1, max_size=4).map(tuple))
def test_a_path_is_read_back_from_its_text(path: tuple[str, ...]) -> None:
    assert parse_path(format_path(path)) == path


@pytest.mark.parametrize("text", ['"open', '"a"b', 'x."'])
def test_a_bad_path_is_refused(text: str) -> None:
    with pytest.raises(InvalidReferenceError):
        parse_path(text)


@given(names, names, names)
def test_subject_tokens_hold_nothing_that_nats_reads(project: str, name: str, version: str) -> None:
    subject = subject_for(project, EntityRef("artifact", name, version))
    tokens = subject.split(".")
    assert len(tokens) == 5
    assert all(re.fullmatch(r"[A-Za-z0-9_%-]+", token) for token in tokens)


def test_subjects_have_the_designs_form() -> None:
    assert subject_for("default", EntityRef("artifact", "a.b", "3")) == "runlore.default.artifact.a%2Eb.3"
    assert subject_for("t", EntityRef("step", "train", run="r1")) == "runlore.t.step.r1.train"
