"""Evidence says which events took effect: by the rules of the fold, in bundles, proofs and reports."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from runlore.cli.app import app
from runlore.projector.audit.bundle import check_bundle, write_bundle
from runlore.projector.audit.effect import judge
from runlore.projector.audit.keys import Verifier, load_signer
from runlore.projector.audit.opening import open_audited
from runlore.projector.audit.prove import Prover
from runlore.projector.audit.trail import refusals
from runlore.store.audit.leaf import origin_of
from runlore.store.folder import DataDir
from runlore.store.sqlite import sqlite
from tests.audit.bundles import in_json, rewritten
from tests.audit.stories import (
    APPROVAL,
    BROKEN,
    COPY,
    FOREIGN,
    FORGED,
    LAST,
    LIMIT,
    NAMELESS,
    REFUSED,
    RENAMED,
)
from tests.events import EPOCH

STAGES = {
    FORGED: "conflict", COPY: "copy", FOREIGN: "decode", RENAMED: "decode", BROKEN: "decode", LIMIT: "fold",
    REFUSED: "fold", NAMELESS: "decode",
}  # fmt: skip


def key_of(data: DataDir) -> Verifier:
    return load_signer(data.checkpoint_key, origin_of(EPOCH)).verifier


def run(data: DataDir, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["audit", *arguments, "--data-dir", str(data.root)])


def check(data: DataDir, path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["audit", "check", str(path), "--key", key_of(data).vkey, *arguments])


def bundled(data: DataDir, path: Path, positions: Sequence[int], declare: bool = True) -> Path:
    """A bundle of these events; without `declare` as a forger makes it, who says of none that it was rejected."""
    with contextlib.closing(open_audited(data.log)) as log:
        prover = Prover(log, [key_of(data)])
        refused = refusals(data.current_view(), positions) if declare else {}
        write_bundle(path, prover, "default", ["model:churn@1"], positions, refused=refused)
    return path


def test_every_rule_of_the_fold_judges_the_proven_events_alike(story: DataDir) -> None:
    with contextlib.closing(open_audited(story.log)) as log:
        prover = Prover(log, [key_of(story)])
        events = [prover.event(position) for position in range(1, LAST + 1)]
    refused = refusals(story.current_view(), range(1, LAST + 1))
    verdicts = {event.position: verdict for event, verdict in zip(events, judge(events, refused), strict=True)}
    rejected = {at: verdict.rejection.stage for at, verdict in verdicts.items() if verdict.rejection}
    assert rejected == STAGES
    assert {at: verdicts[at].rejection for at in refused} == refused  # reasons and all
    assert set(STAGES) - set(refused) == {COPY}
    assert [at for at, verdict in verdicts.items() if not verdict.proved] == [REFUSED]
    assert verdicts[FORGED].first == verdicts[COPY].first == APPROVAL


def test_a_bundle_names_what_was_rejected_about_its_entities(story: DataDir, tmp_path: Path) -> None:
    path = tmp_path / "churn.bundle"
    assert run(story, "bundle", "model:churn@1", "--out", str(path)).exit_code == 0
    done = check(story, path)
    assert done.exit_code == 0, done.output
    assert "model:churn@1  approved=true  (duplicate of 7)" in done.stdout
    assert "in the log, rejected: event " in done.stdout
    assert "7 rejected" in done.stderr
    record = json.loads(check(story, path, "--json").stdout)
    assert record["holds"] is True
    found = {event["position"]: event["rejected"] for event in record["events"] if event["effect"] == "rejected"}
    assert {at: one["stage"] for at, one in found.items()} == {at: STAGES[at] for at in STAGES if at != COPY}
    assert found[FORGED]["first"] == APPROVAL
    assert [at for at, one in found.items() if not one["proved"]] == [REFUSED]


@pytest.mark.parametrize("position", [at for at in STAGES if at != REFUSED])
def test_a_rejected_event_that_a_bundle_presents_as_in_effect_does_not_hold(
    story: DataDir, tmp_path: Path, position: int
) -> None:
    path = bundled(story, tmp_path / "bundle", [position])
    undeclared(path)
    done = check(story, path)
    assert done.exit_code == 4
    assert "THE BUNDLE PRESENTS IT AS IN EFFECT" in done.stdout
    assert "DOES NOT HOLD" in done.stderr
    record = json.loads(check(story, path, "--json").stdout)
    assert (record["holds"], record["undeclared"]) == (False, [position])


def undeclared(path: Path) -> None:
    """Take out what the bundle says about rejected events."""
    rewritten(path, in_json(lambda content: content.pop("rejected")))


def test_a_second_copy_comes_with_the_proof_of_the_first(story: DataDir, tmp_path: Path) -> None:
    for position in (FORGED, COPY):
        checked = check_bundle(bundled(story, tmp_path / "bundle", [position]), [key_of(story)])
        assert [event.position for event in checked.bundle.events] == [APPROVAL, position]
        assert [verdict.first for verdict in checked.verdicts] == [None, APPROVAL]


def test_the_report_marks_what_was_rejected_and_what_is_not_proved(story: DataDir, tmp_path: Path) -> None:
    path, report = bundled(story, tmp_path / "bundle", [APPROVAL, FORGED, REFUSED]), tmp_path / "report.html"
    assert check(story, path, "--report", str(report)).exit_code == 0
    page = report.read_text()
    assert page.count('<article class="rejected">') == 2
    assert "<title>Audit report (title not proved: model:churn@1)</title>" in page
    assert "in the log, rejected by the view it was taken from (not proved)" in page
    proved, _, claims = page.partition("<h2>Not proved</h2>")
    assert "model:churn@1" in claims
    assert "<li>model:churn@1</li>" not in proved
    undeclared(path)
    assert check(story, path, "--report", str(report)).exit_code == 4
    assert "rejected, and presented as in effect: #14" in report.read_text()


def test_prove_says_accepted_and_exits_with_4_where_the_view_shows_a_rejected_event(
    story: DataDir, tmp_path: Path
) -> None:
    done = run(story, "prove", "model:churn@1", "approved")
    assert (done.exit_code, "in the log, accepted" in done.stdout) == (0, True), done.output
    shutil.copytree(story.root, tmp_path / "data")
    forged = DataDir(tmp_path / "data")
    point_to(forged, APPROVAL, FORGED)
    done = run(forged, "prove", "model:churn@1", "approved")
    assert done.exit_code == 4
    assert "in the log, rejected: event " in done.stdout
    assert "the first event with its ID" in done.stdout
    record: dict[str, Any] = json.loads(run(forged, "prove", "model:churn@1", "approved", "--json").stdout)
    assert (record["event"]["position"], record["effect"], record["first"]["position"]) == (
        FORGED,
        "rejected",
        APPROVAL,
    )


def point_to(data: DataDir, before: int, after: int) -> None:
    """Have the view show another event as the origin of a value."""
    connection = sqlite.connect(data.current_view())
    for table in ("history", "heads", "events", "mentions"):
        connection.execute(f"UPDATE {table} SET position = ? WHERE position = ?", (after, before))
    connection.commit()
    connection.close()
