"""The auditor's walk of docs/audit.md, run line by line; and the commands' exit codes."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from runlore.cli.app import app
from runlore.cli.commands.audit import audit
from runlore.store.sqlite import sqlite
from tests.audit.logs import tamper
from tests.authorities import StampingAuthority, serving
from tests.patience import until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]  # the walk itself takes a minute or two

ROOT = Path(__file__).parents[2]


def walk() -> list[tuple[str, int]]:
    """Each command of the console blocks, and the exit code it must have."""
    page = (ROOT / "docs" / "audit.md").read_text()
    lines = [line for block in re.findall(r"```console\n(.*?)```", page, re.DOTALL) for line in block.splitlines()]
    found: list[tuple[str, int]] = []
    for line in lines:
        assert line.startswith("$ "), line
        command, _, code = line[2:].partition("  # exits with ")
        found.append((command, int(code or 0)))
    return found


def example() -> str:
    """The program of the page."""
    [program] = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "audit.md").read_text(), re.DOTALL)
    return str(program)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("walk")
    (folder / "bin").mkdir()
    for name, module in (("runlore", "-m runlore.cli "), ("python3", "")):
        program = folder / "bin" / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {module}"$@"\n')
        program.chmod(0o755)
    (folder / "train.py").write_text(example())
    return folder


@pytest.fixture(scope="module")
def authority(folder: Path) -> Iterator[str | None]:
    """The address of an authority whose certificate is `tsa.pem` in the folder; None where there can be none."""
    if find_spec("rfc3161_client") is None or shutil.which("openssl") is None:
        yield None
        return
    made = StampingAuthority(folder / "authority")
    shutil.copy(made.root, folder / "tsa.pem")
    with serving(made) as url:
        yield url


def shell(folder: Path, command: str) -> subprocess.CompletedProcess[str]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RUNLORE_")}
    environ["PATH"] = f"{folder / 'bin'}{os.pathsep}{environ['PATH']}"
    return subprocess.run(
        command, shell=True, cwd=folder, env=environ, capture_output=True, text=True, timeout=90, check=False
    )


@contextlib.contextmanager
def up(folder: Path, authority: str | None) -> Iterator[None]:
    environ = {name: value for name, value in os.environ.items() if not name.startswith("RUNLORE_")}
    if authority is not None:
        environ["RUNLORE_TIMESTAMP_URL"] = authority
    with (folder / "up.err").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "runlore.cli", "up", "--json"],
            cwd=folder, env=environ, stdout=subprocess.PIPE, stderr=log,
        )  # fmt: skip
    try:
        assert process.stdout
        assert process.stdout.readline(), (folder / "up.err").read_text()
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=90)


@pytest.fixture(scope="module")
def walked(folder: Path, authority: str | None) -> dict[str, subprocess.CompletedProcess[str]]:
    """What each line of the walk did."""
    with up(folder, authority):
        assert shell(folder, "runlore log model:churn@3 accuracy=0.95 owner=ada --wait").returncode == 0
        until(lambda: shell(folder, "runlore audit checkpoint").returncode == 0)
        return {command: shell(folder, command) for command, _ in walk() if authority or "--tsa-cert" not in command}


def test_the_auditors_walk_does_what_it_says(walked: dict[str, subprocess.CompletedProcess[str]]) -> None:
    codes = dict(walk())
    for command, done in walked.items():
        code = codes[command]
        assert done.returncode == code, (command, done.stdout, done.stderr)
        assert "Traceback" not in done.stderr, command


def test_the_walk_shows_what_it_is_about(walked: dict[str, subprocess.CompletedProcess[str]], folder: Path) -> None:
    audits = [(command, done) for command, done in walked.items() if command.startswith("runlore audit")]
    # The first of each: those about churn.
    outputs = {
        command.split()[2] + (" offline" if "offline" in command else ""): done for command, done in audits[::-1]
    }
    assert "2 messages there, 2 in the log; 2 compared byte by byte" in outputs["verify"].stdout
    assert "tables equal the log's replay" in outputs["verify"].stdout
    assert "WRONG       log, position 1" in outputs["verify offline"].stdout
    assert "NOT COMPARED with the stream: --offline" in outputs["verify offline"].stderr
    assert "accuracy=0.97" in outputs["trail"].stdout
    assert "owner=ada" in outputs["prove"].stdout
    # On a busy machine the next checkpoint may be there already; it leaves nothing out.
    bundled = outputs["bundle"].stderr
    assert "2 events under" in bundled or (
        "1 events under" in bundled and "left out newer events, 1 in number" in bundled
    )
    assert "owner" in (folder / "churn.html").read_text()


def test_the_questions_of_an_auditor_have_their_answers(
    walked: dict[str, subprocess.CompletedProcess[str]],
) -> None:
    answers = {
        "runlore lineage model:credit@1": "consumed artifact:applications@1",
        "runlore audit trail model:credit@1": "stage production: approved",
        "runlore history model:credit@1 approval": "proved: grace",
        "runlore show model:credit@1 --as-of 15": "accuracy\t0.94",
        "runlore history model:credit@1 applicant": "applicant asked for it",
        "runlore tail --since 0 --no-follow": "values of 1 events were erased for grace",
        "runlore audit prove model:credit@1 approval.report --key log.key": "in the log, accepted",
        "runlore audit check credit.bundle --key log.key --report credit.html": "proved: grace",
        "runlore audit verify --full --checkpoint monday.txt --key log.key": "signed by the key before",
    }
    for command, answer in answers.items():
        assert answer in walked[command].stdout, (command, walked[command].stdout)
    stamped = [done for command, done in walked.items() if "--tsa-cert" in command]
    assert all("leaves" in done.stdout + done.stderr for done in stamped)
    assert "STAMPED" in stamped[-1].stderr if stamped else True


def test_after_a_clean_stop_everything_is_provable_and_json_says_so(
    walked: dict[str, subprocess.CompletedProcess[str]], folder: Path
) -> None:
    report = json.loads(shell(folder, "runlore audit verify --json").stdout)
    assert report["problems"] == []
    assert report["signed"] == report["leaves"]
    assert "no NATS server answers" in report["not_compared"]["stream"]
    proof = json.loads(shell(folder, "runlore audit prove model:churn@3 accuracy --json").stdout)
    assert proof["event"]["position"] == 2
    assert proof["checkpoint"].startswith("runlore/RUNLORE/")
    trail = json.loads(shell(folder, "runlore audit trail model:churn@3 --json").stdout)
    assert [event["position"] for event in trail] == [1, 2]


def test_a_wrong_row_of_the_view_exits_with_4_and_a_rolled_back_log_too(
    walked: dict[str, subprocess.CompletedProcess[str]], folder: Path
) -> None:
    assert shell(folder, "cp -r .runlore wrong && runlore audit checkpoint --out late.txt").returncode == 0
    view = folder / "wrong" / "projection" / (folder / "wrong" / "projection" / "CURRENT").read_text().strip()
    connection = sqlite.connect(view)
    connection.execute("UPDATE history SET value = 0.99 WHERE type = 'float' AND position = 2")
    connection.commit()
    connection.close()
    done = shell(folder, "runlore audit verify --offline --data-dir wrong")
    assert done.returncode == 4
    assert "WRONG       view, table history, row" in done.stdout
    log = folder / "wrong" / "projection" / "log.db"
    tamper(log, "DELETE FROM log WHERE position = 2", "UPDATE log_state SET position = 1", "DELETE FROM checkpoints")
    done = shell(folder, "runlore audit verify --offline --data-dir wrong --checkpoint late.txt --json")
    assert done.returncode == 4
    assert json.loads(done.stdout)["problems"][0]["position"] == 2


DAMAGE = {
    "empty": None,
    "no position": "DELETE FROM log_state",
    **{
        f"no {table}": f"DROP TABLE {table}"
        for table in ("log_state", "tree_state", "tree_leaves", "checkpoints", "gaps")
    },
}


@pytest.mark.parametrize("how", DAMAGE)
def test_a_damaged_log_exits_with_4(
    walked: dict[str, subprocess.CompletedProcess[str]], folder: Path, tmp_path: Path, how: str
) -> None:
    shutil.copytree(folder / ".runlore", tmp_path / "damaged")
    log = tmp_path / "damaged" / "projection" / "log.db"
    if statement := DAMAGE[how]:
        connection = sqlite.connect(log)
        connection.execute(statement)
        connection.commit()
        connection.close()
    else:
        log.write_bytes(b"")
    done = CliRunner().invoke(app, ["audit", "verify", "--data-dir", str(tmp_path / "damaged")])
    assert (done.exit_code, "WRONG" in done.stdout) == (4, True), (done.output, done.exception)
    assert "start the projector" not in done.output


@pytest.mark.parametrize(
    ("command", "code", "message"),
    [
        ("verify --data-dir nowhere", 3, "no log"),
        ("verify --data-dir nowhere --checkpoint monday.txt", 4, "there is no log that monday.txt could speak of"),
        ("verify --key nonsense", 2, "not a public key"),
        ("verify --checkpoint nowhere.txt", 2, "does not exist"),
        ("verify --checkpoint bin/runlore", 4, "not a signed note"),
        ("prove model:none accuracy", 3, "none"),
        ("prove model:churn@3 nothing", 3, "has no key"),
        ("prove model:churn@3 reviewed --as-of 1", 3, "was not logged yet then"),
        ("checkpoint --out nowhere/late.txt", 2, "there is no folder nowhere"),
        ("checkpoint --out monday.txt", 2, "--force"),
        ("checkpoint --out monday.txt --force", 0, "written"),
        ("bundle model:churn@3 --out nowhere/churn.bundle", 2, "there is no folder nowhere"),
        ("bundle model:churn@3 --out churn.bundle", 2, "--force"),
        ("check churn.bundle --key log.key --report nowhere/churn.html", 2, "there is no folder nowhere"),
        ("trail model:none", 3, "never named"),
        ("trail nonsense", 2, "has no kind"),
        ("bundle model:churn@3", 2, "--out"),
        ("check churn.bundle", 2, "--key"),
        ("check bin/runlore --key log.key", 4, "not a bundle"),
        ("key --data-dir nowhere", 3, "no log"),
    ],
)
def test_exit_codes_say_what_kind_of_failure_it_was(
    walked: dict[str, subprocess.CompletedProcess[str]],
    folder: Path,
    command: str,
    code: int,
    message: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.delenv("RUNLORE_DATA_DIR")
    done = CliRunner().invoke(app, ["audit", *command.split()])
    assert (done.exit_code, message in done.stderr) == (code, True), done.stderr


def test_every_audit_command_has_help_for_each_option() -> None:
    for name, command in audit.commands.items():
        assert command.help, name
        for param in command.params:
            assert not isinstance(param, click.Option) or param.help, (name, param)
