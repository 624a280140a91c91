"""`runlore erase` on a running stack: the bytes are gone, the log still proves everything, history says erased."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from stack_process import run_cli, running_up

from runlore.query import Client
from runlore.schemas import Erased
from runlore.store.folder import DataDir

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
