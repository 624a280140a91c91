"""Signed events on a running stack: a producer's key is made, registered, used, and revoked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from stack_process import run_cli, running_up


@pytest.mark.slow
def test_a_registered_key_proves_who_logged_from_then_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, key, log_key = tmp_path / "data", tmp_path / "ada.key", tmp_path / "log.key"
    folder = ("--data-dir", str(root))

    def run(*words: str, code: int = 0) -> str:
        done = run_cli(*words, *folder)
        assert done.returncode == code, done.stderr
        return done.stdout

    public = run_cli("key", "new", str(key)).stdout.strip()
    assert run_cli("key", "show", str(key)).stdout.strip() == public
    assert (key.stat().st_mode & 0o777, run_cli("key", "new", str(key)).returncode) == (0o600, 2)
    with running_up(root):
        run("log", "model:churn@3", "a=1", "--wait")
        monkeypatch.setenv("RUNLORE_PRODUCER_KEY", str(key))
        run("log", "model:churn@3", "b=1", "--wait")
        run("audit", "actor", "revoke", public, "--reason", "never was", code=3)
        run("audit", "actor", "add", "ada", public, "--reason", "in person")
        run("audit", "actor", "add", "eve", public, "--reason", "mine, too", code=2)
        run("log", "model:churn@3", "c=1", "--wait")
        run("audit", "actor", "revoke", public, "--reason", "laptop lost")
        run("log", "model:churn@3", "d=1", "--wait")

        entries = json.loads(run("blame", "model:churn@3", "--json"))["entries"]
        standing = {entry["key"]: (entry["signer"] or {}).get("standing") for entry in entries}
        assert standing == {"a": None, "b": "unknown", "c": "proved", "d": "revoked"}
        assert json.loads(run("audit", "verify", "--full", "--json"))["problems"] == []
        states = [one["state"] for one in json.loads(run("audit", "actor", "list", "--json"))]
        assert states == ["registered", "revoked"]
    # When it stops, everything is under a checkpoint.
    log_key.write_text(run("audit", "key"))
    run("audit", "bundle", "model:churn@3", "--key", str(log_key), "--out", str(tmp_path / "churn.bundle"))
    checked = run_cli("audit", "check", str(tmp_path / "churn.bundle"), "--key", str(log_key))
    assert (checked.returncode, checked.stdout.count("  proved: ada (")) == (0, 1)
