"""Who said it: registered keys prove actors, in the view and in evidence, and the forger's suite for both."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec.structs import replace
from starlette.testclient import TestClient

from runlore.cli.app import app
from runlore.dashboard import create_app
from runlore.projector.audit.bundle import check_bundle, write_bundle
from runlore.projector.audit.bundle_content import CheckedBundle
from runlore.projector.audit.keys import Verifier, load_or_make_signer
from runlore.projector.audit.opening import open_audited
from runlore.projector.audit.prove import Prover
from runlore.projector.audit.trail import refusals
from runlore.projector.audit.verify import verify_log
from runlore.projector.audit.view_compare import compare_view
from runlore.query import Client
from runlore.query.remote.codec import Unpacker, pack
from runlore.schemas import Actor, ArgumentError, Erased
from runlore.schemas.signatures import Signer
from runlore.store.audit.leaf import origin_of
from runlore.store.audit.statement import Statement
from runlore.store.folder import DataDir
from tests.audit.bundles import in_json, rewritten
from tests.audit.signed_stories import (
    ADDED,
    EARLY,
    FOREIGN,
    INTRUDER,
    LATE,
    PROVED,
    REVOKED,
    STRIPPED,
    UNKNOWN,
    UNSIGNED,
    SignedLog,
    signed_log,
)
from tests.events import EPOCH
from tests.signed_events import ADA, EVE, public

ADA_KEY, EVE_KEY = public(ADA).hex(), public(EVE).hex()
SIGNERS = {
    UNSIGNED: None,
    EARLY: Signer(ADA_KEY, "unknown"),
    PROVED: Signer(ADA_KEY, "proved", "ada"),
    UNKNOWN: Signer(EVE_KEY, "unknown"),
    LATE: Signer(ADA_KEY, "revoked", "ada"),
}
"""Of the events that are in effect."""


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> SignedLog:
    log = signed_log(tmp_path_factory.mktemp("signed"))
    log.write()
    return log


@pytest.fixture(scope="module")
def data(log: SignedLog) -> DataDir:
    return log.data


def bundled(data: DataDir, path: Path, *positions: int) -> Path:
    with contextlib.closing(open_audited(data.log)) as log:
        refused = refusals(data.current_view(), positions)
        write_bundle(path, Prover(log, [key_of(data)]), "default", ["model:churn@1"], positions, refused=refused)
    return path


def key_of(data: DataDir) -> Verifier:
    return load_or_make_signer(data.checkpoint_key, origin_of(EPOCH)).verifier


def checked(data: DataDir, path: Path) -> dict[int, str]:
    """Who each event of a bundle proves, by position."""
    return _who(check_bundle(path, [key_of(data)]))


def _who(found: CheckedBundle) -> dict[int, str]:
    return {event.position: verdict.who for event, verdict in zip(found.bundle.events, found.verdicts, strict=True)}


def test_history_says_whom_each_event_proves(data: DataDir) -> None:
    with Client(data.root) as client:
        found = {entry.position: entry.signer for entry in client.get("model:churn@1").history("accuracy")}
        assert found == SIGNERS
        assert client.get("model:churn@1").as_of(PROVED).run_metadata["accuracy"].signer == SIGNERS[PROVED]
        (last,) = client.get("model:churn@1").blame()
        assert last.signer == SIGNERS[LATE]


def test_what_does_not_come_from_the_key_of_its_producer_is_quarantined(data: DataDir) -> None:
    with Client(data.root) as client:
        found = {row["position"]: (row["stage"], row["error"]) for row in client.quarantine()}
    assert found.keys() == {INTRUDER, STRIPPED}
    assert {stage for stage, _ in found.values()} == {"signature"}
    assert "signs with key" in found[INTRUDER][1]
    assert "unsigned" in found[STRIPPED][1]


def test_producers_are_listed_with_the_key_that_signs(data: DataDir) -> None:
    with Client(data.root) as client:
        found = {(one["signer"] or {}).get("key"): one["signer"] for one in client.producers()}
    assert found.keys() == {None, ADA_KEY, EVE_KEY}
    assert found[ADA_KEY] == {"key": ADA_KEY, "standing": "revoked", "actor": "ada"}
    assert found[EVE_KEY]["standing"] == "unknown"


def test_evidence_and_view_agree_on_everyone(data: DataDir, tmp_path: Path) -> None:
    found = check_bundle(bundled(data, tmp_path / "a.bundle", *range(1, LATE + 1)), [key_of(data)])
    assert not found.undeclared
    verdicts = {event.position: one for event, one in zip(found.bundle.events, found.verdicts, strict=True)}
    assert {position: verdicts[position].signer for position in SIGNERS} == SIGNERS
    rejected = {position for position, one in verdicts.items() if one.rejection}
    assert rejected == {ADDED, FOREIGN, INTRUDER, STRIPPED, REVOKED}
    assert any(f"event {FOREIGN}" in text for text in found.notes)


def test_a_bundle_brings_the_statements_about_its_keys(data: DataDir, tmp_path: Path) -> None:
    assert checked(data, bundled(data, tmp_path / "a.bundle", PROVED)) == {ADDED: "claimed", PROVED: "proved: ada"}
    late = checked(data, bundled(data, tmp_path / "b.bundle", LATE))
    assert late.keys() == {ADDED, REVOKED, LATE}
    assert late[LATE].startswith("signed with the revoked key d75a980182b10ab7 of ada")


def without(position: int) -> Callable[[dict[str, Any]], object]:
    def change(content: dict[str, Any]) -> None:
        for name in ("events", "rejected"):
            content[name] = [one for one in content[name] if one["position"] != position]
        if not content["rejected"]:
            del content["rejected"]

    return change


def test_a_bundle_without_the_registration_proves_nobody(data: DataDir, tmp_path: Path) -> None:
    path = bundled(data, tmp_path / "a.bundle", PROVED)
    rewritten(path, in_json(without(ADDED)))
    assert checked(data, path) == {PROVED: "signed by d75a980182b10ab7, whom nobody has registered"}


def test_a_revocation_that_was_left_out_is_found_in_another_bundle(data: DataDir, tmp_path: Path) -> None:
    """Alone, the bundle says what its statements say: docs/audit.md has it among the limits."""
    path, whole = bundled(data, tmp_path / "a.bundle", LATE), bundled(data, tmp_path / "b.bundle", LATE)
    rewritten(path, in_json(without(REVOKED)))
    assert checked(data, path)[LATE] == "proved: ada"
    others = [check_bundle(whole, [key_of(data)])]
    assert _who(check_bundle(path, [key_of(data)], others))[LATE].startswith("signed with the revoked key")


@pytest.mark.parametrize("part", ["payload", "subject", "event_id"])
def test_a_changed_registration_is_refused(data: DataDir, tmp_path: Path, part: str) -> None:
    path = bundled(data, tmp_path / "a.bundle", PROVED)

    def change(content: dict[str, Any]) -> None:
        content["events"][0][part] = content["events"][1][part]

    rewritten(path, in_json(change))
    result = CliRunner().invoke(app, ["audit", "check", str(path), "--key", key_of(data).vkey])
    assert (result.exit_code, f"event {ADDED} is not in the log" in result.output) == (4, True)


def test_check_prints_who_is_proved_and_who_only_claims(data: DataDir, tmp_path: Path) -> None:
    path = str(bundled(data, tmp_path / "a.bundle", UNSIGNED, PROVED))
    text = CliRunner().invoke(app, ["audit", "check", path, "--key", key_of(data).vkey]).stdout
    assert "  claimed: ada@host-1  " in text
    assert "  proved: ada (ada@host-1)  " in text
    record = json.loads(CliRunner().invoke(app, ["audit", "check", path, "--key", key_of(data).vkey, "--json"]).stdout)
    assert record["events"][-1]["signer"] == {"key": ADA_KEY, "standing": "proved", "actor": "ada"}


@pytest.mark.parametrize("words", [["history", "model:churn@1", "accuracy"], ["audit", "trail", "model:churn@1"]])
def test_the_command_line_says_whom_each_event_proves(data: DataDir, words: list[str]) -> None:
    text = CliRunner().invoke(app, [*words, "--data-dir", str(data.root)]).stdout
    assert text.count("proved: ada") == 1
    assert text.count("whom nobody has registered") == 2
    assert text.count("revoked key") == 1
    records = json.loads(CliRunner().invoke(app, [*words, "--data-dir", str(data.root), "--json"]).stdout)
    assert [(one["signer"] or {}).get("standing") for one in records] == [
        None,
        "unknown",
        "proved",
        "unknown",
        "revoked",
    ]


def test_the_list_has_what_the_key_of_the_log_has_signed(data: DataDir) -> None:
    done = CliRunner().invoke(app, ["audit", "actor", "list", "--data-dir", str(data.root), "--json"])
    assert [(one["position"], one["state"], one["key"]) for one in json.loads(done.stdout)] == [
        (ADDED, "registered", ADA_KEY),
        (REVOKED, "revoked", ADA_KEY),
    ]


def test_a_verification_names_each_statement_and_those_without_effect(data: DataDir) -> None:
    found = verify_log(data.log, [key_of(data)])
    assert not found.problems
    assert [line.partition(":")[0] for line in found.actor_keys] == [f"event {at}" for at in (ADDED, FOREIGN, REVOKED)]
    assert ["without effect" in line for line in found.actor_keys] == [False, True, False]


def test_the_page_marks_what_is_signed_and_says_whom_it_proves(data: DataDir) -> None:
    with Client(data.root) as client, TestClient(create_app(client, {"testserver"})) as web:
        history = web.get("/history", params={"ref": "model:churn@1", "path": "accuracy"}).text
        events = {at: web.get("/event", params={"position": at}).text for at in (UNSIGNED, PROVED, INTRUDER)}
        producers = web.get("/quarantine").text
    assert [history.count(f">{mark}</span>") for mark in ("proved", "unknown key", "revoked key")] == [1, 2, 1]
    assert "; claimed, not signed" in events[UNSIGNED]
    assert "; proved: ada" in events[PROVED]
    assert "its signature does not count" in events[INTRUDER]
    assert "could not be verified" in producers
    assert "ada (revoked)" in producers


def test_an_auditor_with_another_key_finds_a_view_that_believed_the_folders(data: DataDir, tmp_path: Path) -> None:
    assert compare_view(data)[1] == []
    other = load_or_make_signer(tmp_path / "other.key", origin_of(EPOCH)).verifier
    (problem,) = compare_view(data, trusted=[other])[1]
    assert problem.table in ("actor_keys", "signers", "signatures")


def test_erased_values_leave_the_verdict_as_it_is(tmp_path: Path) -> None:
    log = signed_log(tmp_path)
    log.erase(PROVED, "accuracy")
    with Client(log.data.root) as client:
        assert client.get("model:churn@1").as_of(PROVED).metadata == {"accuracy": Erased("left")}
        found = {entry.position: entry.signer for entry in client.get("model:churn@1").history("accuracy")}
        assert found == SIGNERS
        assert len(client.quarantine()) == 2
    assert compare_view(log.data)[1] == []
    path = bundled(log.data, tmp_path / "a.bundle", PROVED)
    assert checked(log.data, path)[PROVED] == "proved: ada"


def test_a_key_that_the_log_has_replaced_is_believed_for_its_time(tmp_path: Path) -> None:
    log = signed_log(tmp_path)
    new = load_or_make_signer(tmp_path / "new.key", origin_of(EPOCH))
    rotated = Statement("rotated", LATE, bytes(32), log.own.verifier.vkey, new.verifier.vkey)
    log.note(rotated.signed([log.own, new]))
    log.state("registered", EVE, by=log.own)  # too late for this key
    log.log(EVE, accuracy=1.1)
    log.state("registered", EVE, by=new)
    log.log(EVE, accuracy=1.2)
    log.write()
    with Client(log.data.root) as client:
        found = {entry.position: entry.signer for entry in client.get("model:churn@1").history("accuracy")}
    assert (found[PROVED], found[LATE + 3], found[LATE + 5]) == (
        SIGNERS[PROVED],
        Signer(EVE_KEY, "unknown"),
        Signer(EVE_KEY, "proved", "ada"),
    )


def test_a_name_that_claims_a_proof_is_a_claim(tmp_path: Path) -> None:
    log = SignedLog(tmp_path / "data")
    log.log(ADA, accuracy=0.5)
    log.log(actor=Actor("eve  proved: ada", "h (proved: ada)", 7, "x"), accuracy=0.6)
    log.write()
    folder = ("--data-dir", str(log.data.root))
    trail = CliRunner().invoke(app, ["audit", "trail", "model:churn@1", *folder]).stdout.splitlines()
    assert trail[1].split(maxsplit=3)[3].startswith("claimed: eve")
    history = CliRunner().invoke(app, ["history", "model:churn@1", "accuracy", *folder]).stdout.splitlines()
    assert history[-1].endswith("\tclaimed")


def test_entries_travel_with_their_signer_also_between_versions(data: DataDir) -> None:
    with Client(data.root) as client:
        (entry,) = client.get("model:churn@1").as_of(PROVED).history("accuracy", 1)
    reader = Unpacker(lambda row, moment, name: pytest.fail("no entity travels here"))
    assert reader.read(pack(entry)) == entry
    assert reader.read(pack(entry)[:-1]) == replace(entry, signer=None)
    assert reader.read([*pack(entry), "of a newer version"]) == entry
    with pytest.raises(ArgumentError, match="2 fields"):
        reader.read(pack(entry)[:3])
