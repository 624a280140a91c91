"""`runlore erase`, `export` and `retention` on a folder without a projector: what they would do, refuse, and write."""

from __future__ import annotations

import csv
import io
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from runlore.cli.app import app
from runlore.projector.audit.keys import load_signer
from runlore.projector.erasures.left import what_is_left
from runlore.query import Client
from runlore.schemas import HeldError, NotFoundError, RunloreError, SettingsError
from runlore.store.audit.leaf import origin_of
from runlore.store.audit.retention import Hold, Retention
from tests.audit.erasing_folder import SECRET, ErasableFolder, with_everything
from tests.audit.logs import EPOCH


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ErasableFolder]:
    made = with_everything(tmp_path_factory.mktemp("erasable") / "data")
    made.say(Retention("hold", "case", "court", "legal", Hold(project="default", entities="step:*", keys=())))
    yield made
    made.archive.close()


def run(folder: ErasableFolder, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--data-dir", str(folder.data.root)])


def lines(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def test_a_dry_run_says_what_would_go_and_changes_nothing(folder: ErasableFolder) -> None:
    found = json.loads(run(folder, "erase", "model:churn@1", "--everything", "--reason", "left", "--json").stdout)
    assert found == {
        "erased": False,
        "events": [1, 6, 7, 8, 9, 10],
        "values": 9,
        "about": [
            "model:churn",
            "model:churn@1",
            "model:churn@2",
            "runlore.default.model.churn.1",
            "runlore.default.test",
        ],
        "unsalted": 6,
        "left": [],
    }
    told = run(folder, "erase", "--event", "9", "--reason", "left")
    assert (told.exit_code, told.stdout.splitlines()[0]) == (0, "event 9: all of it")
    assert "nothing was erased" in told.stderr
    assert folder.holding() >= {"log.db"}


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (("erase", "--reason", "x"), 2, "say what"),
        (("erase", "model:churn@1", "--event", "1", "--reason", "x"), 2, "give it alone"),
        (("erase", "--event", "1", "--notes", "--reason", "x"), 2, "give it alone"),
        (("erase", "--event", "1", "--export", "x.jsonl", "--reason", "x"), 2, "--export is for an ENTITY"),
        (("erase", "model:churn@1", "--reason", "two\nlines"), 2, "one line of text"),
        (("erase", "model:none@1", "--reason", "x"), 3, "no model named 'none'"),
        (("erase", "--event", "999", "--reason", "x"), 3, "does not hold event 999"),
        (
            ("erase", "step:r1/train", "parameters.user", "--reason", "x"),
            1,
            "under the legal hold 'case' (court; legal)",
        ),
        (("retention", "add", "r", "--older-than", "1y", "--reason", "x"), 2, "is no age"),
        (("retention", "hold", "case", "model:churn", "--reason", "x"), 2, "was used before"),
        (("retention", "release", "none", "--reason", "x"), 3, "there is no hold 'none'"),
        (("retention", "hold", "other", "no reference", "--reason", "x"), 2, "has no kind"),
        (("export", "model:none"), 3, "nothing was ever logged"),
        (("export", "metrics.none > 1"), 3, "nothing was ever logged"),
    ],
)
def test_what_makes_no_sense_or_is_not_there_is_refused(
    folder: ErasableFolder, words: tuple[str, ...], code: int, told: str
) -> None:
    result = run(folder, *words)
    assert (result.exit_code, told in result.stderr) == (code, True), result.stderr


def test_holds_and_rules_are_listed(folder: ErasableFolder) -> None:
    found = json.loads(run(folder, "retention", "list", "--json").stdout)
    assert found["rules"] == []
    assert [(one["name"], one["entities"], one["who"], one["position"]) for one in found["holds"]] == [
        ("case", "step:*", "legal", 11)
    ]
    assert "case\tdefault\tstep:*" in run(folder, "retention", "list").stdout
    assert run(folder, "retention", "run").stdout == "no rules\n"


def test_an_export_has_every_entry_with_its_author_time_and_end(folder: ErasableFolder, tmp_path: Path) -> None:
    found = lines(run(folder, "export", "model:churn@1"))
    assert [one["position"] for one in found] == sorted(one["position"] for one in found)
    by_path = {(one["path"], one["position"]): one for one in found}
    assert by_path["customer", 1]["value"] == SECRET
    ended = by_path["owner", 7]
    assert (ended["type"], ended["reason"], ended["previous"]) == ("retracted", f"{SECRET} asked", "ada")
    assert by_path["note", 6]["value"] == f"ask {SECRET}"
    assert {"created", "occurred_at", "actor", "event_id", "scope", "reference"} <= ended.keys()
    run_and_steps = {one["reference"] for one in lines(run(folder, "export", "run:r1"))}
    assert run_and_steps == {"run:r1", "step:r1/train"}
    filtered = lines(run(folder, "export", "stage = 'production'", "--kind", "model"))
    assert filtered == found

    out = tmp_path / "churn.csv"
    assert run(folder, "export", "model:churn@1", "--format", "csv", "--out", str(out)).exit_code == 0
    assert out.stat().st_mode & 0o777 == 0o600
    rows = list(csv.DictReader(io.StringIO(out.read_text(encoding="utf-8"))))
    assert len(rows) == len(found)
    assert {row["value"] for row in rows if row["path"] == "customer"} == {SECRET}
    assert [row["reason"] for row in rows if row["path"] == "owner"] == ["", f"{SECRET} asked"]
    assert run(folder, "export", "model:churn@1", "--out", str(out)).exit_code == 2  # it exists
    assert run(folder, "export", "model:churn@1", "--out", str(out), "--force").exit_code == 0


def test_a_client_says_what_would_be_erased_and_why_it_cannot(folder: ErasableFolder, tmp_path: Path) -> None:
    with folder.client() as client:
        assert client.erase("model:churn@production", "customer", reason="left").events == [1]
        assert client.erase("run:r1", ("parameters", "user"), reason="left").values == 1
        assert client.erase(9, reason="left").values == 1
        with pytest.raises(HeldError):
            client.erase("step:r1/train", reason="left", content=["errors"])
        with pytest.raises(ValueError, match="no kind of content: all"):
            client.erase("run:r1", reason="left", content=["all"])
        with pytest.raises(RunloreError, match="it will, once it runs"):
            client.erase("model:churn@1", reason="left", dry_run=False, timeout=0)
        for words in (("audit", "key", "rotate"), ("retention", "hold", "h", "model:x", "--reason", "y")):
            assert (
                "a statement waits in" in run(folder, *words, *(("--timeout", "0") if "hold" in words else ())).stderr
            )
        folder.data.erasure.unlink()
    with Client(folder.data.current_view()) as client, pytest.raises(RunloreError, match="one view file"):
        client.erase("model:churn@1", reason="left")


def test_an_erasure_names_the_backups_that_still_hold_the_content(folder: ErasableFolder, tmp_path: Path) -> None:
    kept, removed = tmp_path / "kept", tmp_path / "removed"
    for path in (kept, removed):
        assert run(folder, "operator", "backup", str(path)).exit_code == 0
    shutil.rmtree(removed)
    left = what_is_left(folder.data, [1])
    assert [str(kept) in line for line in left] == [False, True, False]
    assert not any(str(kept) in line for line in what_is_left(folder.data, [999]))
    folder.data.backups.unlink()


def test_without_the_logs_key_nothing_is_erased(folder: ErasableFolder, tmp_path: Path) -> None:
    hidden = folder.key.rename(tmp_path / "elsewhere.key")
    folder.data.public_key.write_text(load_signer(hidden, origin_of(EPOCH)).verifier.vkey)
    try:
        with folder.client() as client, pytest.raises((NotFoundError, SettingsError)):
            client.erase("model:churn@1", reason="left", dry_run=False, timeout=0)
        assert not folder.data.erasure.exists()
    finally:
        hidden.rename(folder.key)
        folder.data.public_key.unlink()


def test_an_export_that_cannot_be_written_erases_nothing(folder: ErasableFolder) -> None:
    result = run(folder, "erase", "model:churn@1", "--reason", "x", "--export", "/proc/none.jsonl", "--yes")
    assert result.exit_code != 0
    assert not folder.data.erasure.exists()
