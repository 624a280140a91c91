"""The commands that look back, as a user types them; in one process, because starting Python is slow."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from runlore.cli.app import COMMANDS, app
from runlore.schemas import EntityRef, MetadataRetracted, NoteAdded, StorageSize
from tests.events import LogBuilder
from tests.query.views import client_of

MODEL = EntityRef("model", "m", "1")
NOT_ABOUT_THE_PAST = {
    "up",
    "demo",
    "log",
    "tail",
    "doctor",
    "outbox",
    "watch",
    "projector",
    "rebuild",
    "replay",
    "audit",
    "erase",
    "search",  # the full-text index is of the latest only
}
"""Commands that print JSON and are no reads of the view at a moment."""
ARGUMENTS = {
    "history": ["model:m@1", "loss"],
    "list": ["model"],
    "find": ["model"],
    "lineage": ["model:m@1"],
}
"""What a read command is given besides options; every other one gets the reference of a model."""


def write(log: LogBuilder) -> None:
    log.log("model:m@1", {"loss": 0.5, "size": StorageSize(2_000_000)})
    log.log("model:m@1", {"loss": 0.25, "size": StorageSize(3_500_000), "evil": "\x1b[31m"})
    log.add(MetadataRetracted((MODEL,), (("evil",),), "hostile \x1b[31m"))
    log.add(NoteAdded((MODEL,), "first"))
    log.add(NoteAdded((MODEL,), "second"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    client_of(tmp_path, write).close()
    return tmp_path


def run(folder: Path, *words: str) -> Result:
    return CliRunner().invoke(app, [*words, "--data-dir", str(folder)])


def read_json(folder: Path, *words: str) -> Any:
    done = run(folder, *words, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def read_commands() -> list[str]:
    context = click.Context(app)
    commands = {name: app.get_command(context, name) for name in COMMANDS if name not in NOT_ABOUT_THE_PAST}
    return [name for name, command in commands.items() if command and "--json" in options(command)]


def options(command: click.Command) -> set[str]:
    return {option for param in command.params for option in param.opts}


def test_every_read_command_is_walked() -> None:
    assert {"show", "history", "diff", "blame", "list", "compare"} <= set(read_commands())


@pytest.mark.parametrize("name", read_commands())
def test_every_read_command_reads_as_of_a_position_a_time_and_a_phrase(folder: Path, name: str) -> None:
    command = app.get_command(click.Context(app), name)
    assert command
    assert {"--as-of", "--as-of-clock"} <= options(command)
    words = [name, *ARGUMENTS.get(name, ["model:m@1"])]
    if name == "diff":
        words.append("model:m@1")
    answers = []
    for moment in ("1", "2026-01-01T00:00:01Z", "2026-01-01T00:00:02Z"):
        done = run(folder, *words, "--as-of", moment, "--json")
        assert done.exit_code == 0, done.output
        json.loads(done.stdout)
        message = re.search(r"up to event (\d+)", done.stderr)
        assert message, "an answer states the event it is complete to"
        answers.append((message[1], done.stdout))
    assert answers[0] == answers[1]
    assert [position for position, _ in answers] == ["1", "1", "2"]
    assert run(folder, *words, "--as-of", "1 minute ago", "--json").exit_code == 0
    for wrong in ("lunch", "tomorrow", "03/04/2026"):
        refused = run(folder, *words, "--as-of", wrong, "--json")
        assert (refused.exit_code, refused.stdout) == (2, "")
        assert "Traceback" not in refused.stderr


def test_the_producers_clocks_are_asked_for_explicitly_and_with_a_time(folder: Path) -> None:
    shown = read_json(folder, "show", "model:m@1", "--as-of", "2026-01-01T00:00:01Z", "--as-of-clock", "occurred")
    assert shown["metadata"]["loss"]["value"] == 0.5
    refused = run(folder, "show", "model:m@1", "--as-of", "1", "--as-of-clock", "occurred")
    assert refused.exit_code == 2
    assert "give a time" in refused.stderr


def test_history_takes_ranges_pages_and_orders(folder: Path) -> None:
    words = ("history", "model:m@1", "loss")

    def positions(*more: str) -> list[int]:
        return [entry["position"] for entry in read_json(folder, *words, *more)]

    assert positions() == [1, 2]
    assert positions("--newest-first") == [2, 1]
    assert positions("-n", "1") == positions("--since", "2026-01-01T00:00:02Z") == positions("--after", "1") == [2]
    assert positions("--until", "1") == positions("--before", "2") == positions("--after", "0", "-n", "1") == [1]
    [_, second] = read_json(folder, *words)
    assert (second["value"], second["previous"], second["previous_type"]) == (0.25, 0.5, "float")


def test_blame_shows_what_ended_and_why_when_asked(folder: Path) -> None:
    found = read_json(folder, "blame", "model:m@1", "--ended")
    assert (found["reference"], found["position"]) == ("model:m@1", 5)
    reasons = {entry["path"]: entry["reason"] for entry in found["entries"]}
    assert reasons == {"loss": None, "size": None, "evil": "hostile \x1b[31m"}
    assert [entry["path"] for entry in read_json(folder, "blame", "model:m@1")["entries"]] == ["loss", "size"]
    text = run(folder, "blame", "model:m@1", "--ended").stdout
    assert "(retracted: hostile" in text
    assert "\x1b" not in text


def test_diff_shows_changes_with_deltas_and_units_between_moments(folder: Path) -> None:
    found = read_json(folder, "diff", "model:m@1", "--from", "1", "--to", "2")
    assert [found[side]["position"] for side in ("before", "after")] == [1, 2]
    changes = {item["path"]: (item["change"], item["delta"], item["relative"]) for item in found["differences"]}
    assert changes == {
        "loss": ("changed", -0.25, -0.5),
        "size": ("changed", 1_500_000, 0.75),
        "evil": ("added", None, None),
    }
    text = run(folder, "diff", "model:m@1", "--from", "1").stdout
    assert "-0.25 (-50.0%)" in text
    assert "+1.5 MB (1,500,000 bytes) (+75.0%)" in text
    assert "\x1b" not in text
    assert run(folder, "diff", "model:m@1").exit_code == 2


def test_show_has_the_notes_newest_last_with_who_and_when(folder: Path) -> None:
    text = run(folder, "show", "model:m@1").stdout
    assert text.index("first") < text.index("second")
    assert "ada@host-1" in text
    assert [note["value"] for note in read_json(folder, "show", "model:m@1")["notes"]] == ["first", "second"]
    assert read_json(folder, "show", "model:m@1", "--as-of", "4")["notes"][0]["actor"]["user"] == "ada"


def test_compare_marks_the_best_when_asked(folder: Path) -> None:
    text = run(folder, "compare", "model:m@1", "model:m@1", "--best", "min", "--all").stdout
    assert "*" not in text
    client_of(folder / "two", lambda log: [log.log(f"model:m@{n}", {"loss": n}) for n in (1, 2)]).close()
    text = run(folder / "two", "compare", "model:m@1", "model:m@2", "--best", "min").stdout
    assert "1 *" in text
    assert "2 *" not in text


@pytest.mark.parametrize(
    "words",
    [
        ("show", "model:m@1", "--as-of", "2030-03-01T18:00"),
        ("list", "model", "--as-of", "2030-03-01"),
        ("show", "model:m@1", "--as-of", "march 3 2026 18:00"),
        ("history", "model:m@1", "loss", "--until", "2030-03-01T18:00"),
        ("diff", "model:m@1", "--from", "2020-03-01T18:00"),
    ],
)
def test_a_time_without_a_zone_says_in_which_it_was_read(
    folder: Path, words: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "Asia/Kolkata")
    time.tzset()
    try:
        message = run(folder, *words).stderr
    finally:
        monkeypatch.undo()
        time.tzset()
    assert f"{words[-1]} was read as 20" in message
    assert "+05:30 (IST" in message


@pytest.mark.parametrize("when", ["3", "2030-03-01T18:00Z", "2030-03-01T18:00+02:00", "1s ago"])
def test_a_moment_that_needs_no_zone_is_not_remarked_on(folder: Path, when: str) -> None:
    assert "was read as" not in run(folder, "list", "--as-of", when).stderr


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("created > 2020-03-01", True),
        ("not (loss = 1 or created > 2020-03-01T12:00)", True),
        ("when in ('2020-03-01', 'x')", True),
        ("created > 2020-03-01T12:00Z and loss > 0", False),
        ("loss > 0", False),
    ],
)
def test_a_filters_times_without_a_zone_are_said_to_be_utc(folder: Path, where: str, message: bool) -> None:
    done = run(folder, "find", "model", where)
    assert done.exit_code == 0, done.output
    assert ("read as UTC" in done.stderr) is message
