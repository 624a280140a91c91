"""Retention rules and legal holds: statements of the log that decide what is erased, and what is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from runlore.projector.audit.effect import judge
from runlore.projector.audit.keys import load_or_make_signer
from runlore.projector.erasures.erase import ErasingFolder, Target
from runlore.projector.erasures.plan import Sources, plan_erasure
from runlore.projector.erasures.retaining import change_retention
from runlore.projector.erasures.rules import due
from runlore.schemas import ArgumentError, CorruptLogError, Erased, HeldError, NotFoundError
from runlore.schemas.subjects import SIGNING_SUBJECT
from runlore.store.audit.leaf import origin_of
from runlore.store.audit.proof import ProvenEvent
from runlore.store.audit.retention import Hold, Retention, Rule, parse_retention
from tests.audit.erasing_folder import DAY, MODEL, RUN, SECRET, ErasableFolder, carried, with_everything
from tests.audit.logs import EPOCH


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[ErasableFolder]:
    made = with_everything(tmp_path / "data")  # ten events, a day apart
    yield made
    made.archive.close()


def rule(name: str, days: int, kind: str | None = None, keys: tuple[str, ...] = (), *what: str) -> Retention:
    body = Rule(project="default", kind=kind, keys=keys, what=what, older_than=days * DAY)
    return Retention("add", name, "policy", "ada", body)


def hold(name: str, entities: str, *keys: str) -> Retention:
    return Retention("hold", name, "court", "legal", Hold(project="default", entities=entities, keys=keys))


def run(folder: ErasableFolder) -> None:
    """Carry the rules out as `retention run --yes` does, without a projector."""
    found = ErasingFolder(folder.settings).in_force()
    with ErasingFolder(folder.settings).sources() as sources:
        todo = list(due(sources, *found))
    for one in todo:
        with Sources(folder.data.current_view(), folder.data.log) as sources:
            plan = plan_erasure(sources, one.wanted, one.reason)
        folder.carry_out(plan, one.reason)


@pytest.mark.parametrize(
    ("statement", "events", "values"),
    [
        (rule("r", 0), [1], 4),
        (rule("r", 10), [1], 4),  # the rule itself is the eleventh event
        (rule("r", 11), [], 0),
        (rule("r", 0, "run", ("parameters.*",)), [2], 3),
        (rule("r", 0, None, ("parameters.user",)), [2, 3], 2),
        (rule("r", 0, "model", ("cust*",)), [1], 1),
        (rule("r", 0, "model", ("g.na??",), "notes"), [1, 6], 2),
        (rule("r", 0, None, (), "errors"), [4, 5], 2),
        (rule("r", 7, None, (), "everything"), [1, 2, 3, 4], 9),
        (rule("r", 0, "model", (), "everything"), [1, 6, 7, 8, 9, 10], 9),
        (rule("r", 0, "dataset"), [], 0),
    ],
)
def test_a_rule_finds_what_is_of_its_kind_and_old_by_the_logs_clock(
    folder: ErasableFolder, statement: Retention, events: list[int], values: int
) -> None:
    folder.say(statement)
    assert carried(folder) == [("r", events, values, [])]


def test_a_rule_of_another_project_finds_nothing(folder: ErasableFolder) -> None:
    body = Rule(project="other", kind=None, keys=(), what=("everything",), older_than=0)
    folder.say(Retention("add", "r", "policy", "ada", body))
    assert carried(folder) == [("r", [], 0, [])]


def test_a_run_erases_what_the_dry_run_listed(folder: ErasableFolder) -> None:
    for statement in (
        rule("a", 0, "model", ("customer", "g")),
        rule("b", 0, None, (), "everything"),
        hold("h", "run:r1"),
    ):
        folder.say(statement)
    listed = carried(folder)
    assert listed == [
        ("a", [1], 3, []),
        ("b", [1, 6, 7, 8, 9, 10], 6, [(position, "h") for position in (2, 3, 4, 5)]),
    ]
    run(folder)
    assert [(name, values) for name, _, values, _ in carried(folder)] == [("a", 0), ("b", 0)]
    with folder.client() as client:
        model = client.get("model:churn@1")
        assert model.metadata["customer"] == Erased("retention rule a: policy")
        assert model.notes[0].value == Erased("retention rule b: policy")
        assert client.get("run:r1").parameters["user"] == SECRET
    folder.archive.close()
    assert folder.verify().problems == []


@pytest.mark.parametrize(
    "entities", ["model:churn@1", "model:churn@2", "model:churn", "model:*", "*:churn@?", "*", "model:churn@[12]"]
)
def test_what_is_under_hold_is_not_erased(folder: ErasableFolder, entities: str) -> None:
    folder.say(hold("case-12", entities))
    with pytest.raises(HeldError, match=r"event 6 is under the legal hold 'case-12' \(court; legal\)"):
        folder.plan(Target.of(MODEL, what=["notes"]))  # the note is about two versions
    assert entities == "*" or folder.plan(Target.of(RUN, what=["everything"]))
    folder.say(Retention("release", "case-12", "closed", "legal"))
    assert folder.plan(Target.of(MODEL, what=["notes"])).values == 1


@pytest.mark.parametrize(
    ("statement", "target", "held"),
    [
        (hold("h", "model:churn@1", "customer"), Target.of(MODEL, [("customer",)]), True),
        (hold("h", "model:churn@1", "cust*"), Target.of(MODEL), True),
        (hold("h", "model:churn@1", "customer"), Target.of(MODEL, [("g",)]), False),
        (hold("h", "model:churn@1", "g"), Target.of(MODEL, [("g", "name")]), True),
        (hold("h", "run:r1"), Target.of(3), True),
        (hold("h", "run:r2"), Target.of(3), False),
        (hold("h", "model:churn"), Target.of(9), True),
        (hold("h", "model:churn", "customer"), Target.of(9), True),  # nobody knows what a broken event holds
        (hold("h", "model:churn@2"), Target.of(9), False),
        (hold("h", "model:churn"), Target.of(10), True),  # by the event whose ID it has
        (hold("h", "model:chur"), Target.of(MODEL), False),
    ],
)
def test_a_hold_keeps_what_it_names_and_no_more(
    folder: ErasableFolder, statement: Retention, target: Target, held: bool
) -> None:
    folder.say(statement)
    if held:
        with pytest.raises(HeldError):
            folder.plan(target)
    else:
        assert folder.plan(target).events


def test_what_another_key_has_signed_is_no_rule_and_no_hold(folder: ErasableFolder, tmp_path: Path) -> None:
    thief = load_or_make_signer(tmp_path / "thief.key", origin_of(EPOCH))
    folder.state(hold("h", "*").signed(thief))
    folder.state(rule("r", 0).signed(thief))
    assert ErasingFolder(folder.settings).in_force() == ({}, {})
    assert folder.plan(Target.of(MODEL))


def test_a_name_means_one_rule_or_hold_for_good(folder: ErasableFolder) -> None:
    folder.say(hold("h", "model:x"))
    folder.say(Retention("release", "h", "closed", "legal"))
    erasing = ErasingFolder(folder.settings)
    for again in (hold("h", "model:y"), rule("h", 1)):
        with pytest.raises(ArgumentError, match="was used before"):
            change_retention(erasing, again, 0)
    for ended in (Retention("release", "h", "x", "y"), Retention("remove", "h", "x", "y")):
        with pytest.raises(NotFoundError):
            change_retention(erasing, ended, 0)


def test_statements_about_retention_are_not_in_quarantine_and_audits_name_them(folder: ErasableFolder) -> None:
    folder.say(rule("r", 1))
    with folder.client() as client:
        assert len(client.quarantine()) == 2
    payload = rule("r", 1).signed(load_or_make_signer(folder.key, origin_of(EPOCH))).encode()
    proven = ProvenEvent(
        position=1,
        index=0,
        event_id="x",
        recorded_ns=0,
        subject=SIGNING_SUBJECT,
        headers=b"",
        payload=payload,
        proof=[],
    )
    (verdict,) = judge([proven], {})
    assert "a retention rule or a legal hold" in verdict.label


@pytest.mark.parametrize(
    "change",
    [
        lambda note: note.replace("runlore/retention/v1", "runlore/retention/v2"),
        lambda note: note.replace("\nadd\n", "\nremove\n"),
        lambda note: note.replace("\nr\n", "\n\n"),
        lambda note: note.replace('{"project"', '{ "project"'),
        lambda note: note.replace('"kind":null', '"kind":7'),
        lambda note: note.replace('"older_than":86400', '"older_than":86400,"more":1'),
    ],
)
def test_a_statement_has_one_spelling(folder: ErasableFolder, change: Callable[[str], str]) -> None:
    note = rule("r", 1).signed(load_or_make_signer(folder.key, origin_of(EPOCH)))
    assert parse_retention(note) == rule("r", 1)
    with pytest.raises(CorruptLogError):
        parse_retention(change(note))
