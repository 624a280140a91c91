"""A verifier in Go, with golang.org/x/mod/sumdb and nothing of Runlore's, agrees with a log that it reads over HTTP."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest

from runlore.query import Client
from runlore.schemas import read_settings
from tests.cli.stack_process import run_cli, running_up
from tests.patience import until
from tests.projector.nats_tools import made_events, publish_all

PROGRAM = Path(__file__).parent / "go" / "verify.go"
SOURCES = Path("/usr/share/gocode")
"""Where Debian's golang-golang-x-mod-dev puts the library."""
MORE = 300
"""Events, so that the tree has more than one tile."""


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("go")
    if shutil.which("go") is None:
        pytest.skip("needs Go: Debian's golang-go")
    if not (SOURCES / "src/golang.org/x/mod/sumdb/tlog").is_dir():
        pytest.skip("needs golang.org/x/mod: Debian's golang-golang-x-mod-dev")
    build = ["go", "build", "-o", str(folder / "verify"), str(PROGRAM)]
    environ = {"GO111MODULE": "off", "GOFLAGS": "", "GOPATH": str(SOURCES), "GOCACHE": str(folder / "cache")}
    subprocess.run(build, env={**os.environ, **environ}, check=True, capture_output=True, timeout=280)
    return folder / "verify"


class Verifier:
    """The program, for one page and one key."""

    def __init__(self, program: Path, page: str, key: str) -> None:
        address = urlsplit(page)
        self._url = f"{address.scheme}://{address.netloc}"
        self._token = parse_qs(address.query).get("token", [""])[0]
        self._program, self._key = program, key

    def __call__(self, *arguments: str, code: int = 0) -> str:
        command = [str(self._program), "-url", self._url, "-key", self._key, *arguments]
        environ = {**os.environ, "TOKEN": self._token}
        done = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == code, done.stderr
        return done.stdout if code == 0 else done.stderr


@pytest.mark.slow
def test_a_foreign_verifier_agrees_before_and_after_an_erasure(program: Path, tmp_path: Path) -> None:
    root = tmp_path / "data"

    def run(*words: str) -> str:
        done = run_cli(*words, "--data-dir", str(root))
        assert done.returncode == 0, done.stderr
        return done.stdout

    def signed_up_to(position: int) -> bool:
        with Client(root) as client:
            checkpoint = client.audit_state().checkpoint
        return checkpoint is not None and checkpoint.size >= position

    with running_up(root, "--dashboard-port", "0") as (_, announced):
        run("log", "model:churn@3", "customer=customer-4711", "--wait")
        until(lambda: signed_up_to(1))
        verify = Verifier(program, announced["dashboard"], run("audit", "key"))
        with Client(root) as client:
            first = client.logged_event(1)
        payload, old = tmp_path / "payload", tmp_path / "monday.txt"
        payload.write_bytes(first.payload)
        event = ("-event", str(first.event_id), "-payload", str(payload))
        assert "event 1 is leaf 0, subject runlore.default.model.churn.3" in verify(*event, "-out", str(old))

        publish_all(read_settings(data_dir=root), made_events(MORE))
        run("erase", "model:churn@3", "customer", "--reason", "customer left", "--who", "ada", "--yes")
        with Client(root) as client:
            erased = client.logged_event(1)
        assert b"customer-4711" not in erased.payload
        until(lambda: signed_up_to(MORE + 2))
        told = verify(*event, "-old", str(old))
        assert "only grew since 1 leaves" in told
        assert "event 1 is leaf 0" in told, "with the hash of the payload as it was logged"
        payload.write_bytes(erased.payload)
        assert "the payload is another one" in verify(*event, code=1)
        assert "no event nobody" in verify("-event", "nobody", code=1)

        forged = old.read_text().replace("\n1\n", "\n2\n", 1)
        old.write_text(forged)
        assert "invalid signature" in verify("-old", str(old), code=1)
