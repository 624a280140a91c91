from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from stack_process import run_cli, running_up, until

from runlore.cli.app import COMMANDS
from runlore.query import Client
from runlore.schemas import StorageSize


def test_every_command_has_help_that_names_its_options() -> None:
    # In one process: a process for each would only measure the start of Python.
    code = (
        "import click, sys; from runlore.cli.app import app, COMMANDS\n"
        "ctx = click.Context(app)\n"
        "for name in COMMANDS:\n"
        "    command = app.get_command(ctx, name); assert command.help, name\n"
        "    text = command.get_help(click.Context(command, info_name=name))\n"
        "    for param in command.params:\n"
        "        if isinstance(param, click.Option):\n"
        "            assert param.help and all(opt in text for opt in param.opts), (name, param)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=90)
    assert done.returncode == 0, done.stderr


def test_the_help_lists_every_command() -> None:
    shown = run_cli("--help")
    assert shown.returncode == 0
    assert all(name in shown.stdout for name in COMMANDS)


def test_the_commands_that_log_load_neither_rich_nor_the_projector() -> None:
    code = (
        "import sys; from runlore.cli.app import app\n"
        "from runlore.cli.commands import log, note, retract, stage\n"
        "print([name for name in ('rich', 'nats', 'sqlite_utils', 'runlore.projector') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=90)
    assert done.stdout.strip() == "[]", done.stderr


def test_without_the_cli_extra_the_command_says_what_to_install() -> None:
    code = "import runlore.cli as cli\ncli.find_spec = lambda name: None\ncli.main()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=90)
    assert done.returncode == 1
    assert "pip install 'runlore[cli]'" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("log", "churn", "a=1"), "has no kind"),
        (("log", "model:churn"), "nothing to log"),
        (("log", "model:churn", "accuracy"), "write key=value"),
        (("log", "model:churn", "--json", "[1]"), "give an object"),
        (("log", "model:churn", "size=StorageSize:big"), "is no StorageSize"),
        (("log", "model:churn", 'cfg={"a":1,"a":2}'), "given twice"),
        (("log", "model:churn", "--json", '{"a": -1e999}'), "no float"),
        (("log", "model:churn", "--json", '{"a":1,"a":2}'), "given twice"),
        (("retract", "model:churn", "accuracy"), "--reason"),
        (("stage", "artifact:rows", "production"), "only models have stages"),
        (("nonsense",), "No such command"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_why(arguments: tuple[str, ...], message: str) -> None:
    failed = run_cli(*arguments)
    assert failed.returncode == 2
    assert message in failed.stderr
    assert failed.stdout == ""


def test_what_is_not_there_exits_with_3(tmp_path: Path) -> None:
    failed = run_cli("tail", "--data-dir", str(tmp_path))
    assert failed.returncode == 3
    assert "Traceback" not in failed.stderr


def test_doctor_without_a_server_fails_and_says_what_to_do(tmp_path: Path) -> None:
    found = run_cli("doctor", "--json", "--data-dir", str(tmp_path))
    assert found.returncode == 1
    findings = {finding["check"]: finding for finding in json.loads(found.stdout)}
    assert findings["server"]["outcome"] == "fail"
    assert "runlore up" in findings["server"]["advice"]


@pytest.mark.slow
def test_the_commands_together(tmp_path: Path) -> None:
    folder = ("--data-dir", str(tmp_path / "data"))
    with running_up(tmp_path / "data"):
        logged = run_cli(
            "log",
            "model:churn",
            "metrics.accuracy=0.9",
            "size=StorageSize:1.5MB",
            "code=str:007",
            "--wait",
            *folder,
        )
        assert logged.returncode == 0, logged.stderr
        event_id, position = logged.stdout.split()
        assert int(position) == 1
        piped = run_cli("log", "model:churn", "--json", "-", "--wait", *folder, stdin='{"loss": NaN, "tags": ["a"]}')
        assert piped.returncode == 0, piped.stderr
        assert run_cli("note", "model:churn", "looks\nfine", *folder).returncode == 0
        assert run_cli("stage", "model:churn", "production", "--reason", "best", *folder).returncode == 0
        assert run_cli("retract", "model:churn", "code", "--reason", "typo", *folder).returncode == 0

        def five() -> list[str]:
            lines = run_cli("tail", "--since", "0", "--no-follow", "--json", *folder).stdout.splitlines()
            return lines if len(lines) == 5 else []

        events = [json.loads(line) for line in until(five)]
        assert events[0]["event_id"] == event_id
        assert [event["type"] for event in events] == [
            "metadata_logged", "metadata_logged", "note_added", "model_stage_changed", "metadata_retracted",
        ]  # fmt: skip
        assert events[0]["fact"]["metadata"]["code"] == "007"
        assert events[0]["fact"]["metadata"]["size"] == 1_500_000
        text = run_cli("tail", "-n", "3", "--no-follow", *folder).stdout
        assert len(text.splitlines()) == 3
        assert "looks\\nfine" in text

        def ended() -> list[dict[str, Any]]:
            past = run_cli("history", "model:churn", "code", "--json", *folder)
            found: list[dict[str, Any]] = json.loads(past.stdout)
            return found if len(found) == 2 else []

        [_, retracted] = until(ended)
        assert (retracted["type"], retracted["reason"], retracted["previous"]) == ("retracted", "typo", "007")
        assert retracted["actor"]["user"]
        shown = run_cli("show", "model:churn@production", *folder).stdout
        assert "looks\\nfine" in shown
        assert "typo" in run_cli("blame", "model:churn", "--ended", *folder).stdout

        doctor = run_cli("doctor", *folder)
        assert doctor.returncode == 0, doctor.stdout
        assert "fail" not in doctor.stdout
        (tmp_path / "data" / "server.json").chmod(0o644)
        open_secret = run_cli("doctor", *folder)
        assert open_secret.returncode == 1
        assert "chmod 600" in open_secret.stdout
        assert json.loads(run_cli("outbox", "status", "--json", *folder).stdout) == []
        assert run_cli("outbox", "drain", *folder).returncode == 0
        shown = run_cli("show", "model:churn", "--json", *folder)
        assert shown.returncode == 0, shown.stderr
        assert json.loads(shown.stdout)
        assert run_cli("show", "model:nobody", *folder).returncode == 3


def test_a_drain_without_a_server_reports_what_waits(tmp_path: Path) -> None:
    folder = ("--data-dir", str(tmp_path / "data"))
    assert run_cli("log", "model:churn", "a=1", *folder).returncode == 0
    status = run_cli("outbox", "status", "--json", *folder)
    assert [one["waiting"] for one in json.loads(status.stdout)] == [1]
    drained = run_cli("outbox", "drain", "--timeout", "0.5", *folder)
    assert drained.returncode == 1
    assert "still waiting 1" in drained.stdout
    assert "Traceback" not in drained.stderr


def test_a_wait_in_vain_says_so_and_keeps_the_event(tmp_path: Path) -> None:
    folder = ("--data-dir", str(tmp_path / "data"))
    waited = run_cli("log", "model:churn", "a=1", "--wait", "--timeout", "0.3", *folder)
    assert waited.returncode == 1
    assert waited.stdout.strip() in waited.stderr
    assert "Traceback" not in waited.stderr
    assert [one["waiting"] for one in json.loads(run_cli("outbox", "status", "--json", *folder).stdout)] == [1]


@pytest.mark.slow
def test_the_shell_example_logs_a_file(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    sales = tmp_path / "sales.csv"
    sales.write_text("day,amount\n1,5\n2,7\n")
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    with running_up(tmp_path / "data"):
        done = subprocess.run(
            [str(root / "examples" / "shell_job.sh"), str(sales)],
            capture_output=True,
            text=True,
            timeout=90,
            env={**os.environ, "PATH": path, "RUNLORE_DATA_DIR": str(tmp_path / "data")},
        )
        assert done.returncode == 0, done.stderr

        def logged() -> dict[str, Any] | None:
            with Client(tmp_path / "data") as client:
                found = client.list_entities("dataset")
                return found[0].metadata if found and "columns" in found[0].metadata else None

        metadata = until(logged)
    assert metadata["rows"] == 2
    assert metadata["columns"] == 2
    assert metadata["checked"] == {"empty": False}
    assert isinstance(metadata["size"], StorageSize)
