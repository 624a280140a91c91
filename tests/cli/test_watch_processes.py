from __future__ import annotations

import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from stack_process import RUNLORE, run_cli, until

import runlore.producer as producer
from runlore.cli.stack import EmbeddedStack
from runlore.projector import rebuild_view
from runlore.projector.views.generations import remove_old_views
from runlore.query import Client
from runlore.schemas import EntityRef, MetadataRetracted
from runlore.store.folder import DataDir
from tests.events import LogBuilder
from tests.query.views import fold_live

CONSUMER = """
import sqlite3, sys
from runlore.query import Client
db = sqlite3.connect(sys.argv[1], isolation_level=None)
last = db.execute("SELECT position, entity, path FROM seen ORDER BY number DESC LIMIT 1").fetchone()
with Client() as client:
    for change in client.watch("model:watched", since=last or 0):
        db.execute("INSERT INTO seen (position, entity, path, key, value) VALUES (?, ?, ?, ?, ?)",
                   (*change.place, change.entry.path, change.entry.value))
"""
"""What it sees and where it stands commit together: exactly once."""


def log_in_background(numbers: range, pause: float) -> threading.Thread:
    def work() -> None:
        for number in numbers:
            producer.log_model_metadata({"n": number, "g": {"twice": 2 * number}}, "watched", "1")
            time.sleep(random.random() * 2 * pause)
        producer.flush(90)

    thread = threading.Thread(target=work)
    thread.start()
    return thread


def kill_until(seen: Callable[[], int], enough: int, start: Callable[[], subprocess.Popen[bytes]]) -> int:
    """Start a process, SIGKILL it a random time after it has seen more, and so on until enough; how many kills."""
    kills = 0
    while (before := seen()) < enough:
        process = start()
        until(lambda before=before: seen() > before)
        time.sleep(0.8 * random.random())
        process.send_signal(signal.SIGKILL)
        process.wait(90)
        kills += 1
    return kills


@pytest.mark.slow
def test_a_watch_killed_and_resumed_at_random_gives_every_entry_once_also_across_a_rebuild(
    stack: EmbeddedStack, data: DataDir, tmp_path: Path
) -> None:
    events, seen = 300, sqlite3.connect(tmp_path / "seen.db", isolation_level=None, timeout=30)
    seen.execute("PRAGMA journal_mode = WAL")
    seen.execute("CREATE TABLE seen (number INTEGER PRIMARY KEY, position, entity, path, key, value)")
    producer.log_model_metadata({"start": True}, "other", "1").wait(90)

    def rows() -> int:
        return int(seen.execute("SELECT count(*) FROM seen").fetchone()[0])

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", CONSUMER, str(tmp_path / "seen.db")])

    thread = log_in_background(range(100), 0.02)
    assert kill_until(rows, 200, start)
    thread.join()
    through = start()
    thread = log_in_background(range(100, 200), 0.02)
    until(lambda: rows() > 220)
    rebuild_view(data)  # while the projector folds and the producer logs
    remove_old_views(data)
    until(lambda: rows() == 400)  # the one watch saw both generations
    thread.join()
    through.kill()
    through.wait(90)
    thread = log_in_background(range(200, events), 0.02)
    assert kill_until(rows, 2 * events, start)
    thread.join()
    found = seen.execute("SELECT position, key, value FROM seen ORDER BY number").fetchall()
    assert [row[1:] for row in found] == [
        pair for number in range(events) for pair in (("n", number), ("g.twice", 2 * number))
    ]
    assert [row[0] for row in found] == sorted(row[0] for row in found)
    assert data.current_view().name != "view-000001.db"


def test_a_killed_watch_with_a_state_file_misses_nothing_and_repeats_only_what_it_was_at(
    stack: EmbeddedStack, tmp_path: Path
) -> None:
    events, out, state = 60, tmp_path / "out", tmp_path / "state.json"
    producer.log_model_metadata({"start": True}, "watched", "1").wait(90)
    command = [*RUNLORE, "watch", "model:watched", "--key", "n", "--state", str(state), "--exec"]
    command.append(f'echo "$RUNLORE_WATCH_VALUE" >> {out}')

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(command, stdout=subprocess.DEVNULL)

    def seen() -> list[int]:
        return [int(line) for line in out.read_text().split()] if out.exists() else []

    first = start()
    until(state.exists)  # from here on nothing is missed, though nothing came yet
    first.kill()
    first.wait(90)
    thread = log_in_background(range(events), 0.03)
    kills = kill_until(lambda: len(set(seen())), events, start)
    thread.join()
    assert list(dict.fromkeys(seen())) == list(range(events))
    assert len(seen()) - events <= kills + 1


def write(log: LogBuilder) -> None:
    log.log("model:churn@1", {"accuracy": 0.5, "text": "a\x1b[31mb\0c", "nan": float("nan")})
    log.log("model:churn@1", {"accuracy": 0.75})
    log.add(MetadataRetracted((EntityRef("model", "churn", "1"),), (("text",),), "hostile"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    log = LogBuilder()
    write(log)
    fold_live(DataDir(tmp_path / "data"), log)
    return tmp_path / "data"


def stopped_after(lines: int, how: signal.Signals, *words: str) -> tuple[list[str], str]:
    """The first lines of a watch, which is then told to stop and must exit with 0."""
    process = subprocess.Popen(
        [*RUNLORE, "watch", *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=os.environ
    )
    assert process.stdout
    got = [process.stdout.readline() for _ in range(lines)]
    process.send_signal(how)
    rest, output = process.communicate(timeout=90)
    assert (process.returncode, rest) == (0, ""), output
    return got, output


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_watch_prints_a_line_a_change_until_it_is_told_to_stop(folder: Path, how: signal.Signals) -> None:
    lines, output = stopped_after(5, how, "--since", "0")
    assert "model:churn@1  accuracy = 0.75  (was 0.5)  ada@host-1" in lines[3]
    assert "text = (retracted: hostile)" in lines[4]
    assert "\\x1b[31m" in lines[1]
    assert output == ""


def test_json_lines_hold_the_whole_change(folder: Path) -> None:
    lines, _ = stopped_after(2, signal.SIGTERM, "model:churn", "--since", "0", "--key", "accuracy", "--json")
    first, second = map(json.loads, lines)
    assert (first["reference"], first["path"], first["value"], first["previous_type"]) == ("model:churn@1", "accuracy", 0.5, None)  # fmt: skip
    assert (second["value"], second["previous"], second["position"], second["actor"]["user"]) == (0.75, 0.5, 2, "ada")


def test_a_command_gets_the_change_in_variables_and_on_stdin_one_at_a_time(folder: Path, tmp_path: Path) -> None:
    script = tmp_path / "react.py"
    script.write_text(
        "import json, os, sys\n"
        "change = json.load(sys.stdin)\n"
        "names = ('ENTITY', 'PATH', 'VALUE', 'VALUE_JSON', 'PREVIOUS', 'POSITION', 'TYPE', 'REASON')\n"
        f"with open({str(tmp_path / 'out')!r}, 'a') as out:\n"
        "    print(json.dumps([change['position'], *(os.environ['RUNLORE_WATCH_' + n] for n in names)]), file=out)\n"
    )
    stop_at = subprocess.Popen(
        [*RUNLORE, "watch", "--since", "0", "--exec", f"{sys.executable} {script}"], stdout=subprocess.DEVNULL
    )
    rows: list[list[Any]] = until(lambda: _rows(tmp_path / "out", 5))
    stop_at.send_signal(signal.SIGTERM)
    assert stop_at.wait(90) == 0
    assert rows[0] == [1, "model:churn@1", "accuracy", "0.5", "0.5", "", "1", "float", ""]
    assert rows[1][3:5] == ["a\x1b[31mb\\0c", '"a\\u001b[31mb\\u0000c"']
    assert rows[2][3:5] == ["nan", '"nan"']
    assert rows[3][3:7] == ["0.75", "0.75", "0.5", "2"]
    assert rows[4][2:] == ["text", "", "null", "a\x1b[31mb\\0c", "3", "retracted", "hostile"]


def _rows(path: Path, count: int) -> list[list[Any]]:
    lines = path.read_text().splitlines() if path.exists() else []
    return [json.loads(line) for line in lines] if len(lines) >= count else []


def test_a_failing_command_is_reported_and_its_place_is_not_kept(folder: Path, tmp_path: Path) -> None:
    state = tmp_path / "state.json"
    failing = 'test "$RUNLORE_WATCH_POSITION" != 3'
    words = ("--since", "0", "--key", "text", "--state", str(state), "--exec", failing)
    lines, output = stopped_after(2, signal.SIGTERM, *words)
    assert len(lines) == 2
    assert "ended with exit code 1: model:churn@1 text in event 3" in output
    kept = json.loads(state.read_text())
    assert kept["position"] == 1
    again, _ = stopped_after(1, signal.SIGTERM, *words[:-2])
    assert "retracted" in again[0]
    assert json.loads(state.read_text())["position"] == 3


def test_a_state_file_that_holds_no_place_is_refused(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "state.json").write_text("{}")
    refused = run_cli("watch", "--state", str(tmp_path / "state.json"))
    assert refused.returncode == 2
    assert "holds no place" in refused.stderr
    nowhere = run_cli("watch", "--state", str(tmp_path / "no" / "state.json"))
    assert nowhere.returncode == 2
    assert "Traceback" not in nowhere.stderr


def test_what_is_no_reference_is_wrong_usage_and_no_view_is_not_found(folder: Path, tmp_path: Path) -> None:
    assert run_cli("watch", "model:").returncode == 2
    missing = run_cli("watch", "--data-dir", str(tmp_path / "none"))
    assert missing.returncode == 3
    assert "runlore up" in missing.stderr


def test_an_entry_arrives_while_the_stack_runs(stack: EmbeddedStack) -> None:
    with Client() as client:
        # On the stream is not yet in the view: a watch from now on would still give it.
        client.wait_for(producer.log_model_metadata({"n": 0}, "watched", "1"), timeout=90)
        watch = client.watch("model:watched", key="n", timeout=90)
        for number in range(1, 20):
            producer.log_model_metadata({"n": number}, "watched", "1")
            assert next(watch).entry.value == number
