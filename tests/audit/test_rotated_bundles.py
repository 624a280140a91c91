"""Bundles signed after a key was rotated: the statements in them lead from the first trusted key to the last."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from runlore.cli.app import app
from runlore.projector.audit.bundle import check_bundle
from runlore.projector.audit.bundle_content import CheckedBundle
from runlore.projector.audit.cosignatures import cosign
from runlore.projector.audit.keys import Signer, make_signer
from runlore.projector.audit.vkeys import COSIGNATURE, vkey_of
from runlore.schemas import CorruptLogError
from runlore.store.audit.checkpoint import parse_checkpoint
from tests.audit.bundles import in_json, rewritten
from tests.audit.rotated import FIRST_STATEMENT, LAST, SECOND_STATEMENT, RestoredLog, RotatedLog


@pytest.fixture(scope="module")
def rotated(tmp_path_factory: pytest.TempPathFactory) -> RotatedLog:
    return RotatedLog(tmp_path_factory.mktemp("rotated"))


@pytest.fixture
def path(rotated: RotatedLog, tmp_path: Path) -> Path:
    return rotated.bundled(tmp_path / "bundle", 1, 15, LAST)


def check(path: Path, *keys: Signer, others: tuple[Path, ...] = ()) -> CheckedBundle:
    trusted = [key.verifier for key in keys]
    return check_bundle(path, trusted, [check_bundle(other, trusted) for other in others])


@pytest.mark.parametrize("number", range(3))
def test_who_trusts_any_key_of_the_log_can_check_it(rotated: RotatedLog, path: Path, number: int) -> None:
    checked = check(path, rotated.keys[number])
    assert checked.verifier == rotated.keys[-1].verifier
    assert [change.position for change in checked.changes] == [FIRST_STATEMENT, SECOND_STATEMENT]
    assert checked.notes == [], "the report inside is the one that the checker makes"


def test_the_command_prints_how_the_keys_replaced_each_other(rotated: RotatedLog, path: Path) -> None:
    arguments = ["audit", "check", str(path), "--key", rotated.keys[0].verifier.vkey]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.stderr
    assert done.stderr.count("KEY event") == 2
    assert len(json.loads(CliRunner().invoke(app, [*arguments, "--json"]).stdout)["key_changes"]) == 2


def test_a_stranger_is_not_believed(rotated: RotatedLog, path: Path, tmp_path: Path) -> None:
    with pytest.raises(CorruptLogError, match="no trusted key"):
        check(path, make_signer(tmp_path / "other", rotated.keys[0].verifier.name))


def _without(*numbers: int) -> Any:
    def change(content: dict[str, Any]) -> None:
        content["keys"] = [one for at, one in enumerate(content["keys"]) if at not in numbers]

    return in_json(change)


def test_a_rotation_that_was_left_out_leads_nowhere(rotated: RotatedLog, path: Path) -> None:
    first, second, third = rotated.keys
    rewritten(path, _without(0))
    with pytest.raises(CorruptLogError, match="no trusted key"):
        check(path, first)
    rewritten(path, in_json(lambda content: content.pop("keys") and None))
    with pytest.raises(CorruptLogError, match="no trusted key"):
        check(path, second)
    assert check(path, third), "whoever trusts the key that signed needs none of them"


def test_a_replaced_key_signs_no_later_tree(rotated: RotatedLog, path: Path, tmp_path: Path) -> None:
    """A thief has the first key, and signs the newest tree with it."""
    thief = rotated.keys[0]
    stolen = parse_checkpoint(rotated.notes[-1].partition("\n\n")[0] + "\n").signed(thief)
    forged = rotated.bundled(tmp_path / "forged", 1, LAST)
    rewritten(forged, {"checkpoint.txt": lambda _: stolen})
    with pytest.raises(CorruptLogError, match="did not sign this log then"):
        check(forged, thief)
    rewritten(forged, in_json(lambda content: content.pop("keys") and None))
    assert check(forged, thief), "no proof shows that something is not in the log: this is a limit"
    with pytest.raises(CorruptLogError, match="two histories: event 11 replaced"):
        check(forged, thief, others=(path,))
    with pytest.raises(CorruptLogError, match="two histories: event 11 replaced"):
        check(path, thief, others=(forged,))


FORGERIES = {
    "repeated": lambda keys: keys.insert(0, keys[0]),
    "out of order": lambda keys: keys.reverse(),
    "another subject": lambda keys: keys[0].update(subject="runlore.default.model.m"),
    "another position": lambda keys: keys[0].update(position=10),
    "another leaf": lambda keys: keys[0].update(index=keys[0]["index"] - 1),
    "another proof": lambda keys: keys[0]["proof"].reverse(),
    "an event": lambda keys: keys[0].update(payload="AAAA"),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_changed_statement_is_refused(rotated: RotatedLog, path: Path, forgery: str) -> None:
    rewritten(path, in_json(lambda content: FORGERIES[forgery](content["keys"])))
    for key in rotated.keys:
        with pytest.raises(CorruptLogError):
            check(path, key)


def test_a_policy_demands_that_witnesses_saw_the_checkpoint(rotated: RotatedLog, path: Path, tmp_path: Path) -> None:
    witness = make_signer(tmp_path / "witness", "w.example/1")
    name, public = witness.verifier.name, witness.verifier.public
    policy = tmp_path / "policy"
    policy.write_text(f"witness w {vkey_of(name, COSIGNATURE, public)}\nquorum w\n")
    command = ["audit", "check", str(path), "--key", rotated.keys[0].verifier.vkey, "--witness-policy", str(policy)]
    done = CliRunner().invoke(app, command)
    assert (done.exit_code, "no quorum" in done.output) == (4, True)
    text = rotated.notes[-1].partition("\n\n")[0] + "\n"
    rewritten(path, {"checkpoint.txt": lambda note: note + cosign(text, witness, name, public, 1)})
    assert "no quorum" not in CliRunner().invoke(app, command).output


def test_a_bundle_of_after_a_restore_is_checked_with_the_key_of_before(tmp_path: Path) -> None:
    log = RestoredLog(tmp_path)
    checked = check(log.bundled(tmp_path / "bundle", 1, 12, trusted=[log.keys[1].verifier]), log.keys[0])
    assert checked.verifier.name.endswith("/part")
    assert [change.statement.reason for change in checked.changes] == ["restored"]
