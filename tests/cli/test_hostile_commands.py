"""No text of an event reaches a terminal as anything but text, whatever command shows it; and JSON loses none of it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from runlore.cli.app import app
from tests.hostile_log import ARTIFACT, MARKUP, MODEL, NAME, RUN, STEP, TEXT, acts, shown, write_hostile_texts
from tests.query.views import client_of

SERVICES = {
    ("up",),
    ("demo",),
    ("projector",),
    ("query", "serve"),
    ("stream", "restore"),
    ("operator", "restore"),
    ("operator", "shard"),
    ("operator", "snapshot"),
    ("dashboard",),
    ("dashboard", "link"),
    ("audit", "key", "rotate"),
    ("retention", "add"),
    ("retention", "hold"),
    ("replica",),
    ("witness",),
    ("audit", "actor", "add"),
    ("audit", "actor", "revoke"),
    ("mcp",),
    ("import", "mlflow"),
    ("feed", "mlflow"),
}
"""Commands that serve, that need a server, or that sign: they show no text of an event."""

STOP = "kill -INT $PPID"

# One set of words or more for each command; {folder} is the data folder.
WORDS: dict[tuple[str, ...], list[list[str]]] = {
    ("log",): [[str(MODEL), f"{NAME}=1"], [str(MODEL)]],
    ("retract",): [[str(MODEL), json.dumps([TEXT]), "--reason", NAME], [str(MODEL), "nothing", "--reason", NAME]],
    ("erase",): [[str(MODEL), json.dumps([TEXT]), "--reason", NAME], [str(MODEL), NAME, "--reason", "x"]],
    ("export",): [[str(MODEL)], [str(MODEL), "--format", "csv"], [f"name = {json.dumps(NAME)}"], [NAME]],
    ("retention", "list"): [[]],
    ("retention", "run"): [[]],
    ("retention", "remove"): [[NAME, "--reason", NAME]],
    ("retention", "release"): [[NAME, "--reason", NAME]],
    ("note",): [[str(MODEL), TEXT]],
    ("stage",): [[f"model:{NAME}", f"stage{NAME}", "--reason", NAME], [str(ARTIFACT), "x"]],
    ("show",): [[str(MODEL)], [str(ARTIFACT)], [f"run:{RUN}"], [f"step:{RUN}/{STEP}"], [f"model:{NAME}x"]],
    ("history",): [[str(MODEL), json.dumps([TEXT])], [str(MODEL), "gone"], [str(MODEL), NAME], [str(MODEL), "stage"]],
    ("find",): [["any"], ["model", "--columns", "number,list"], ["model", f"name = {json.dumps(NAME)}"], ["model", NAME], [f"x{NAME}"]],
    ("diff",): [[str(MODEL), f"model:{NAME}@2"], [str(MODEL), f"model:{NAME}@99"]],
    ("blame",): [[str(MODEL), "--ended"]],
    ("list",): [[], ["model"], ["artifact"], ["run"], ["step"], [NAME]],
    ("search",): [["red"], [NAME]],
    ("compare",): [[str(MODEL), f"model:{NAME}@2", "--all"]],
    ("lineage",): [[str(ARTIFACT), "--both"]],
    ("tail",): [["--since", "0", "--no-follow"]],
    ("watch",): [["--since", "0", "--exec", STOP], [f"name = {json.dumps(NAME)}", "--since", "0", "--exec", STOP], [NAME]],
    ("project",): [[NAME]],
    ("rebuild",): [["--compare"]],
    ("replay",): [["--as", "-"], ["--as", "-", "--entity", str(MODEL)]],
    ("audit", "bundle"): [[str(MODEL), "--out", "{folder}/b.bundle", "--force"], [f"model:{NAME}@99", "--out", "{folder}/x"]],
    ("audit", "check"): [["{folder}/b.bundle", "--report", "{folder}/report.html"]],
    ("audit", "checkpoint"): [[]],
    ("audit", "actor", "list"): [[]],
    ("key", "new"): [[f"{{folder}}/{NAME}/x"]],
    ("key", "show"): [[f"{{folder}}/{NAME}"]],
    ("audit", "key"): [[]],
    ("audit", "prove"): [[str(MODEL), json.dumps([TEXT])], [str(MODEL), NAME]],
    ("audit", "trail"): [[str(MODEL)], [f"run:{RUN}"]],
    ("audit", "verify"): [["--offline"]],
    ("outbox", "status"): [[]],
    ("outbox", "drain"): [["--timeout", "0"]],
    ("doctor",): [[]],
    ("dashboard", "token", "create"): [["--project", NAME]],
    ("dashboard", "token", "list"): [[]],
    ("dashboard", "token", "revoke"): [[NAME]],
    ("operator", "backup"): [["{folder}-backup"], [f"{{folder}}/{NAME}/x"]],
    ("operator", "config"): [["--project", NAME]],
    ("operator", "permissions"): [["--project", NAME]],
    ("operator", "stream"): [[]],
}  # fmt: skip

LARGE = re.compile(r"\x1b\[\d{0,2}(;\d{1,2})?m")
"""The weights and colours that commands use themselves."""


def commands(command: click.Command, context: click.Context, name: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command of the tree."""
    if not isinstance(command, click.Group):
        yield name
        return
    if command.invoke_without_command and name:
        yield name
    for part in command.list_commands(context):
        inner = command.get_command(context, part)
        assert inner is not None
        yield from commands(inner, click.Context(inner, parent=context), (*name, part))


def options(name: tuple[str, ...]) -> set[str]:
    found: Any = app
    for part in name:
        found = found.get_command(click.Context(found), part)
    return {option for parameter in found.params for option in parameter.opts}


def test_every_command_is_here() -> None:
    assert set(WORDS) | SERVICES == set(commands(app, click.Context(app)))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hostile")
    client_of(folder, write_hostile_texts, archived=True).close()
    return folder


def lines(folder: Path, as_json: bool) -> list[list[str]]:
    key = subprocess.run(
        [sys.executable, "-m", "runlore.cli", "audit", "key", "--data-dir", str(folder)],
        capture_output=True, text=True, check=True, timeout=90,
    ).stdout.strip()  # fmt: skip
    found: list[list[str]] = []
    for name, many in WORDS.items():
        known = options(name)
        if as_json and ("--json" not in known or name == ("log",)):
            continue
        for words in many:
            more = ["--data-dir", str(folder)] if "--data-dir" in known else []
            more += ["--key", key] if name == ("audit", "check") else []
            more += ["--json"] if as_json else []
            found.append([*name, *more, *(word.replace("{folder}", str(folder)) for word in words)])
    return found


def on_terminal(words: list[list[str]]) -> str:
    """All that the commands show on a terminal, stdout and stderr."""
    leader, follower = os.openpty()
    environ = {**os.environ, "RUNLORE_MODE": "offline", "COLUMNS": "2000", "TERM": "xterm-256color"}
    program = [sys.executable, str(Path(__file__).parent / "on_terminal.py"), json.dumps(words)]
    with subprocess.Popen(program, stdin=follower, stdout=follower, stderr=follower, env=environ) as process:
        os.close(follower)
        shown = b""
        while True:
            try:
                some = os.read(leader, 65_536)
            except OSError:  # the other side is closed
                break
            if not some:
                break
            shown += some
        assert process.wait(90) == 0
    os.close(leader)
    return shown.decode().replace("\r\n", "\n")


@pytest.fixture(scope="module")
def parts(folder: Path) -> list[str]:
    """What each command showed, behind its words."""
    return on_terminal(lines(folder, as_json=False)).split("\n=== ")[1:]


def test_no_command_lets_a_text_act_on_the_terminal(parts: list[str]) -> None:
    assert len(parts) == sum(map(len, WORDS.values()))
    for part in parts:
        assert "TRACEBACK" not in part
        assert acts(LARGE.sub("", part.partition("\n")[2])) == []
    told = "\n".join(parts)
    assert told.count(shown(str(MODEL))) > 10
    assert shown(TEXT) in told  # also what looks like rich's markup is shown as it is
    assert MARKUP in told


def test_the_report_of_a_bundle_lets_no_text_act(folder: Path, parts: list[str]) -> None:
    report = (folder / "report.html").read_text()
    assert acts(report) == []
    assert "<b>" not in report
    assert "&lt;b&gt;" in report


def test_json_on_a_terminal_is_escaped_and_loses_nothing(folder: Path) -> None:
    shown = on_terminal(lines(folder, as_json=True))
    exact: list[Any] = []
    for part in shown.split("\n=== ")[1:]:
        assert "TRACEBACK" not in part
        for line in part.splitlines()[1:]:
            assert acts(LARGE.sub("", line)) == []
            if line.startswith(("{", "[")):
                exact.append(json.loads(line))
    assert json.dumps(TEXT) in json.dumps(exact)
    assert json.dumps(str(MODEL)) in json.dumps(exact)
