"""Replay: the read model as it was, in a file of its own, from log.db or from the stream."""

from __future__ import annotations

import datetime as dt
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from nats_tools import made_events, open_server, publish_all, until
from service_tools import running

from runlore.projector import ArchiveReader
from runlore.projector.archiving.archive import Archive
from runlore.projector.views.digest import view_digest
from runlore.projector.views.replay import replay
from runlore.query import Client
from runlore.schemas import CorruptLogError, ModelStageChanged, NotFoundError, RunStarted, parse_ref
from runlore.store.folder import DataDir
from runlore.store.log_rows import Received
from runlore.store.private_files import read_struct
from runlore.store.records import Endpoint
from tests.events import EPOCH, START, LogBuilder
from tests.query.views import fold_live


@pytest.fixture
def log() -> LogBuilder:
    log = LogBuilder()
    for number in range(1, 21):
        log.log(f"model:churn@{1 + number % 2}", {"n": number})
    log.add(ModelStageChanged(parse_ref("model:churn@1"), "production"))
    log.add(RunStarted("nightly", "monday"), run="r1")
    log.log("step:r1/train", {"loss": 0.5}, run="r1", step="train")
    log.log("dataset:rows@1", {"count": 9}, run="r1", step="train")
    return log


@pytest.fixture
def folder(data: DataDir, log: LogBuilder) -> DataDir:
    archive = Archive.open(data.log, EPOCH)
    archive.append([Received(*row[:4], b"", row[4]) for row in log.rows])
    archive.close()
    return data


def runlore(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "runlore.cli", *arguments], capture_output=True, text=True, timeout=90, check=False
    )


@pytest.mark.parametrize("until", [1, 7, 20, 24])
def test_a_replay_is_the_view_as_of_then(until: int, folder: DataDir, log: LogBuilder, tmp_path: Path) -> None:
    past = tmp_path / "past.db"
    assert replay(ArchiveReader(folder.log), past, until) == until
    prefix = LogBuilder()
    prefix.rows = log.rows[:until]
    prefix.fold_into(tmp_path / "prefix.db").close()
    assert view_digest(past) == view_digest(tmp_path / "prefix.db")
    assert [path.name for path in tmp_path.glob("past.db*")] == ["past.db"]
    with Client(past) as client:
        assert client.position == until
        assert client.get("model:churn@2").metadata == {"n": until if until % 2 else until - 1} if until < 20 else True


def test_a_time_means_when_the_log_recorded_it(folder: DataDir, tmp_path: Path) -> None:
    when = START + dt.timedelta(seconds=7, milliseconds=500)
    done = runlore("replay", "--until", when.isoformat(), "--into", str(tmp_path / "past.db"))
    assert done.returncode == 0, done.stderr
    with Client(tmp_path / "past.db") as client:
        assert client.position == 7


def test_a_replay_of_one_entity_keeps_its_events_and_nothing_else(folder: DataDir, tmp_path: Path) -> None:
    replay(ArchiveReader(folder.log), tmp_path / "whole.db")
    replay(ArchiveReader(folder.log), tmp_path / "past.db", entity=parse_ref("model:churn"))
    with Client(tmp_path / "past.db") as past, Client(tmp_path / "whole.db") as whole:
        for reference in ("model:churn@1", "model:churn@2", "model:churn@production"):
            assert past.get(reference).metadata == whole.get(reference).metadata
            assert past.get(reference).history("n") == whole.get(reference).history("n")
        assert past.get("model:churn@production").reference == "model:churn@1"
        with pytest.raises(NotFoundError):
            past.get("dataset:rows@1")


def test_a_run_comes_with_its_steps_and_entries_keep_where_they_were_logged(folder: DataDir, tmp_path: Path) -> None:
    replay(ArchiveReader(folder.log), tmp_path / "run.db", entity=parse_ref("run:r1"))
    replay(ArchiveReader(folder.log), tmp_path / "data.db", entity=parse_ref("dataset:rows@1"))
    with Client(tmp_path / "run.db") as client:
        assert client.get_pipeline_run("r1").steps["train"].metadata == {"loss": 0.5}
    with Client(tmp_path / "data.db") as client:
        entry = client.get("dataset:rows@1").run_metadata["count"]
        assert (entry.run, entry.step) == ("r1", "train")


def test_an_unknown_entity_leaves_no_file(folder: DataDir, tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="had not named model:fraud"):
        replay(ArchiveReader(folder.log), tmp_path / "past.db", entity=parse_ref("model:fraud"))
    assert not list(tmp_path.glob("past.db*"))


def test_a_file_is_never_overwritten(folder: DataDir, tmp_path: Path) -> None:
    past = tmp_path / "past.db"
    past.write_text("mine")
    with pytest.raises(CorruptLogError, match="exists already"):
        replay(ArchiveReader(folder.log), past)
    assert past.read_text() == "mine"
    assert runlore("replay", "--into", str(past)).returncode == 2


def test_events_are_written_as_lines_of_json(folder: DataDir, tmp_path: Path) -> None:
    lines = tmp_path / "events.jsonl"
    assert runlore("replay", "--until", "21", "--as", str(lines)).returncode == 0
    events = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [event["position"] for event in events] == list(range(1, 22))
    assert events[-1]["type"] == "model_stage_changed"
    done = runlore("replay", "--entity", "dataset:rows", "--as", str(tmp_path / "one.jsonl"))
    assert done.returncode == 0, done.stderr
    assert [json.loads(line)["position"] for line in (tmp_path / "one.jsonl").open()] == [24]


def test_events_go_to_stdout_and_no_folder_is_made(folder: DataDir, tmp_path: Path) -> None:
    done = runlore("replay", "--until", "3", "--as", "-")
    assert [json.loads(line)["position"] for line in done.stdout.splitlines()] == [1, 2, 3]
    assert "stdout: 3 events" in done.stderr
    for option in ("--into", "--as"):
        done = runlore("replay", option, str(tmp_path / "nowhere" / "past"))
        assert (done.returncode, "there is no folder" in done.stderr) == (2, True)
    assert not (tmp_path / "nowhere").exists()


def test_a_run_is_found_by_name_pipeline_or_id(folder: DataDir, log: LogBuilder) -> None:
    fold_live(folder, log)
    for name in ("r1", "monday", "nightly"):
        done = runlore("replay", "--entity", f"run:{name}", "--as", "-")
        assert [json.loads(line)["position"] for line in done.stdout.splitlines()] == [22, 23], done.stderr
    done = runlore("replay", "--entity", "run:tuesday", "--as", "-")
    assert (done.returncode, "by its ID" in done.stderr) == (3, True)


def test_the_embedded_server_is_read_with_the_folders_secret(server: Any, data: DataDir, tmp_path: Path) -> None:
    endpoint = read_struct(data.endpoint, Endpoint)
    assert endpoint
    done = runlore("replay", "--from", endpoint.url, "--as", "-", "--data-dir", str(data.root))
    assert "the server has no stream" in done.stderr
    done = runlore("replay", "--from", endpoint.url, "--as", "-", "--data-dir", str(tmp_path / "none"))
    assert (done.returncode, "refuses the connection" in done.stderr) == (1, True), done.stderr
    assert "answers" not in done.stderr


def test_the_read_commands_read_a_replayed_file(folder: DataDir, tmp_path: Path) -> None:
    past = tmp_path / "past.db"
    assert runlore("replay", "--until", "4", "--into", str(past)).returncode == 0
    shown = runlore("show", "model:churn@1", "--json", "--data-dir", str(past))
    assert json.loads(shown.stdout)["metadata"]["n"]["value"] == 4


def test_the_stream_is_enough(tmp_path: Path) -> None:
    with open_server(tmp_path) as (_, settings), running(settings) as service:
        until(lambda: service.state.connected)
        publish_all(settings, made_events(50))
        service.folded(50)
        assert settings.url
        copy = tmp_path / "copy.db"
        done = runlore("replay", "--from", settings.url, "--into", str(copy), "--data-dir", str(tmp_path / "none"))
        assert done.returncode == 0, done.stderr
        assert view_digest(copy) == view_digest(DataDir(settings.data_dir).current_view())
        assert not (tmp_path / "none").exists()
