"""`runlore erase` on a running stack: the bytes are gone, the log still proves everything, history says erased."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from nats.aio.client import Client as NatsConnection
from stack_process import run_cli, running_up, until

from runlore.query import Client
from runlore.schemas import Erased, Settings, read_settings
from runlore.store.folder import DataDir
from tests.open_servers import service_login
from tests.projector.nats_tools import with_nats

SECRET, OTHER = "customer-4711-zebra", "kept-value-giraffe"


def holding(root: Path, text: str) -> set[str]:
    """The files below a folder that hold a text, by their raw bytes."""
    files = [path for path in root.rglob("*") if path.is_file()]
    return {str(path.relative_to(root)) for path in files if text.encode() in path.read_bytes()}


@pytest.mark.slow
def test_an_erased_value_is_gone_and_everything_else_is_still_proved(tmp_path: Path) -> None:
    root = tmp_path / "data"
    folder = ("--data-dir", str(root))

    def run(*words: str, code: int = 0) -> str:
        done = run_cli(*words, *folder)
        assert done.returncode == code, done.stderr
        return done.stdout

    with running_up(root), Client(root) as idle:
        run("log", "model:churn@3", f"customer={SECRET}", f"owner={OTHER}", "--wait")
        run("log", "model:churn@3", "customer=nobody", "--wait")
        before = tmp_path / "before.txt"
        run("audit", "checkpoint", "--out", str(before))
        run("audit", "verify", "--full", "--checkpoint", str(before))
        assert idle.get("model:churn@3").metadata["owner"] == OTHER  # and it reads no more: its view stays open
        planned = run("erase", "model:churn@3", "customer", "--reason", "customer left")
        assert "would be erased" in planned
        assert SECRET in run("history", "model:churn@3", "customer")

        run("erase", "model:churn@3", "customer", "--reason", "customer left", "--who", "ada", "--yes")
        assert "customer left" in run("history", "model:churn@3", "customer")
        report = json.loads(run("audit", "verify", "--full", "--checkpoint", str(before), "--json"))
        assert (report["erased"], report["problems"]) == (2, [])
        with Client(root) as client:
            entity = client.get("model:churn@3")
            assert entity.metadata == {"customer": Erased("customer left"), "owner": OTHER}
            assert type(entity.as_of(1).metadata["customer"]) is Erased
        key, bundle = tmp_path / "log.key", tmp_path / "churn.bundle"
        key.write_text(run("audit", "key"))
        run("audit", "bundle", "model:churn@3", "--key", str(key), "--out", str(bundle))
        checked = run_cli("audit", "check", str(bundle), "--key", str(key))
        assert checked.returncode == 0, checked.stderr
        assert OTHER in checked.stdout
        run("erase", "model:churn@3", "customer", "--reason", "again", code=3)
    # Everything but the server's blocks, which no running server rewrites, and the view that was open until the end.
    assert {Path(name).parts[0] for name in holding(root, SECRET)} == {"nats", "projection"}

    assert "still hold values that were erased" in run("stream", "restore")
    run("stream", "restore", "--apply")
    for kept in (root / "nats").glob("store.before-restore-*"):
        shutil.rmtree(kept)
    assert holding(root, SECRET) == set()
    assert len(holding(root, OTHER)) > 1
    assert "nothing to do" in run("stream", "restore")
    with running_up(root):
        run("log", "model:churn@3", "customer=new", "--wait")
        run("audit", "verify", "--full", "--checkpoint", str(before))

    # An archive that is made from this stream has the same tree.
    for path in DataDir(root).projection.iterdir():
        path.unlink()
    with running_up(root):
        run("log", "model:churn@3", "reviewed=true", "--wait")
        report = json.loads(run("audit", "verify", "--full", "--checkpoint", str(before), "--json"))
        assert (report["erased"], report["problems"]) == (2, [])
        run("doctor", "--json")
    assert holding(root, SECRET) == set()


STEPS = f"""
import contextlib
from runlore import flush, run_context, step_context

who = {{"user": "{SECRET}"}}
with contextlib.suppress(ValueError), run_context("nightly", parameters=who), step_context("train", parameters=who):
    raise ValueError("no {SECRET}")
flush(60)
"""


def put_into_quarantine(settings: Settings) -> None:
    async def publish(connection: NatsConnection) -> None:
        await connection.jetstream().publish("runlore.default.model.churn.3", b"\xc1 " + SECRET.encode())

    with_nats(settings, publish)


@pytest.mark.slow
def test_whatever_a_person_put_into_an_event_goes_and_idle_services_let_it_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, export = tmp_path / "data", tmp_path / "churn.jsonl"
    monkeypatch.setenv("RUNLORE_DATA_DIR", str(root))

    def run(*words: str, code: int = 0) -> str:
        done = run_cli(*words)
        assert done.returncode == code, done.stderr
        return done.stdout + done.stderr

    with running_up(root, "--dashboard-port", "0", "--no-token") as (_, announced), Client(announced["url"]) as remote:
        run("log", "model:churn@3", f"customer={SECRET}", f"owner={OTHER}", "--wait")
        run("note", "model:churn@3", f"ask {SECRET}")
        run("stage", "model:churn@3", "production", "--reason", f"for {SECRET}")
        run("retract", "model:churn@3", "owner", "--reason", f"{SECRET} asked")
        subprocess.run([sys.executable, "-c", STEPS], check=True)
        put_into_quarantine(read_settings(**login(root)))
        run("log", "model:churn@3", "n=1", "--wait")
        page = f"{announced['dashboard'].rstrip('/')}/entity?ref=model:churn@3"
        assert SECRET in urllib.request.urlopen(page, timeout=60).read().decode()
        assert SECRET in str(remote.get("model:churn@3").metadata)  # neither of them is asked again until the end
        with Client(root) as client:
            train = client.get_pipeline_run("nightly").steps["train"]
            step = train.reference
            assert train.parameters == {"user": SECRET}

        run("retention", "hold", "case-12", "model:churn*", "--reason", "court", "--who", "legal")
        everything = ("erase", "model:churn", "--everything", "--reason", "left", "--who", "ada")
        assert "is under the legal hold 'case-12' (court; legal)" in run(*everything, "--yes", code=1)
        run("retention", "add", "users", "--parameters", "--errors", "--older-than", "0s", "--reason", "policy 7")
        listed = json.loads(run_cli("retention", "list", "--json").stdout)
        assert ([one["name"] for one in listed["rules"]], [one["entities"] for one in listed["holds"]]) == (
            ["users"],
            ["model:churn*"],
        )
        planned = json.loads(run_cli("retention", "run", "--json").stdout)
        done = json.loads(run_cli("retention", "run", "--yes", "--json").stdout)
        assert [one["erasing"]["events"] for one in done] == [one["erasing"]["events"] for one in planned]
        run("retention", "release", "case-12", "--reason", "closed", "--who", "legal")
        run(*everything, "--export", "/proc/none", "--yes", code=1)  # it cannot be written: nothing is erased
        result = run(*everything, "--export", str(export), "--yes")
        assert "The stream still holds it" in result
        assert (export.stat().st_mode & 0o777, SECRET in export.read_text()) == (0o600, True)
        until(lambda: len(list((root / "projection").glob("view-*.db"))) == 1)
        assert {Path(name).parts[0] for name in holding(root, SECRET)} == {"nats"}
        assert "erased: left" in run("show", "model:churn@3")
        assert "retention rule users" in run("show", step)
        report = json.loads(run_cli("audit", "verify", "--full", "--json").stdout)
        assert (report["erased"], report["problems"]) == (10, [])
    run("stream", "restore", "--apply")
    for kept in (root / "nats").glob("store.before-restore-*"):
        shutil.rmtree(kept)
    assert holding(root, SECRET) == set()


def login(root: Path) -> dict[str, str]:
    return {name.removeprefix("RUNLORE_").lower(): value for name, value in service_login(DataDir(root)).items()}
