"""Which version is the latest: never one that a failed run left empty, as long as there is another."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from runlore.cli.app import app
from runlore.projector.views.generations import make_current
from runlore.query import Client
from runlore.schemas import EntityRef, MetadataRetracted, NotFoundError, RunFinished, RunStarted
from runlore.store.folder import DataDir
from tests.events import START, LogBuilder
from tests.query.views import client_of

MODEL = EntityRef("model", "m")


@dataclass
class Model:
    """The rule once more, in plain Python."""

    metadata: dict[str, set[str]] = field(default_factory=dict)
    """Keys of each version, in the order of making."""
    numbers: dict[str, int] = field(default_factory=dict)
    made: dict[str, list[str]] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    left: dict[str, str] = field(default_factory=dict)

    def make(self, version: str | None, run: str | None) -> str:
        if version is None:
            version = str(max(self.numbers.values(), default=0) + 1)
        if version not in self.metadata:
            highest = max(self.numbers.values(), default=0)
            self.metadata[version] = set()
            self.numbers[version] = int(version) if version.isdecimal() else highest + 1
            # Only a version that raises the highest number is one that the run made.
            if run is not None and self.numbers[version] > highest:
                self.made.setdefault(run, []).append(version)
        return version

    def start(self, run: str, version: str | None) -> None:
        if run in self.failed:
            self.failed.discard(run)
            self.left = {v: by for v, by in self.left.items() if by != run}
        if version is not None or not self.made.get(run):
            self.make(version, run)

    def finish(self, run: str, status: str) -> None:
        if status == "failed":
            self.failed.add(run)
            self.left |= {v: run for v in self.made.get(run, ()) if not self.metadata[v] and v not in self.left}
        elif run in self.failed:
            self.failed.discard(run)
            self.left = {v: by for v, by in self.left.items() if by != run}

    def log(self, version: str | None, key: str) -> None:
        version = self.make(None, None) if version is None and not self.metadata else version or self.latest()
        assert version is not None
        self.make(version, None)
        self.metadata[version].add(key)
        self.left.pop(version, None)

    def latest(self) -> str | None:
        order = {version: (self.numbers[version], place) for place, version in enumerate(self.metadata)}
        counting = [version for version in order if version not in self.left] or list(order)
        return max(counting, key=lambda version: order[version], default=None)


runs = st.sampled_from(("r1", "r2", "r3"))
versions = st.sampled_from((None, None, "1", "2", "5", "x"))
facts = st.one_of(
    st.tuples(st.just("start"), runs, versions),
    st.tuples(st.just("finish"), runs, st.sampled_from(("failed", "failed", "completed"))),
    st.tuples(st.just("log"), versions, st.sampled_from(("a", "b"))),
    st.tuples(st.just("retract"), st.sampled_from(("1", "2", "x"))),
)


def write(script: list[tuple[Any, ...]]) -> tuple[LogBuilder, list[tuple[str | None, dict[str, str]]]]:
    """The log, and after each event the latest version and which were left empty by whom."""
    log, model, expected = LogBuilder(), Model(), [(None, {})]
    for kind, *what in script:
        match kind:
            case "start":
                log.add(RunStarted("p", what[0], model=EntityRef("model", "m", what[1])), run=what[0])
                model.start(what[0], what[1])
            case "finish":
                log.add(RunFinished(what[1]), run=what[0])
                model.finish(what[0], what[1])
            case "log":
                log.log(EntityRef("model", "m", what[0]), {what[1]: 1})
                model.log(what[0], what[1])
            case _:
                log.add(MetadataRetracted((EntityRef("model", "m", what[0]),), (("a",), ("b",)), "wrong"))
                if what[0] in model.metadata:
                    model.metadata[what[0]].clear()
        expected.append((model.latest(), dict(model.left)))
    return log, expected


@example([("start", "r1", "5"), ("finish", "r1", "failed"), ("log", "1", "a"), ("start", "r2", "2")], 1)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(facts, min_size=1, max_size=12), st.integers(1, 5))
def test_latest_is_what_the_rule_says_at_every_position_wherever_batches_end(
    tmp_path_factory: pytest.TempPathFactory, script: list[tuple[Any, ...]], batch: int
) -> None:
    log, expected = write(script)
    data = DataDir(tmp_path_factory.mktemp("latest"))
    log.fold_into(data.view(1), batch).close()
    make_current(data, data.view(1))
    with Client(data.root) as client, Client(data.root, clock="occurred") as by_producers:
        for position, (latest, left) in enumerate(expected):
            then = START + dt.timedelta(seconds=position)
            for reader, when in ((client, position), (by_producers, then)):
                assert latest_of(reader, when) == latest
            for version in left:
                found = client.get(f"model:m@{version}", as_of=position)
                assert found.fields["left_empty_by"] == left[version]


def latest_of(client: Client, when: int | dt.datetime) -> str | None:
    try:
        return client.get("model:m", as_of=when).version
    except NotFoundError:
        return None


def failing(log: LogBuilder) -> None:
    log.log("model:m@1", {"accuracy": 0.9})
    log.add(RunStarted("p", "nightly", model=MODEL), run="r1")
    log.add(RunFinished("failed", "ValueError", "no data"), run="r1")


def test_what_is_logged_without_a_version_goes_to_the_version_that_counts_and_the_next_one_has_the_next_number(
    tmp_path: Path,
) -> None:
    def write(log: LogBuilder) -> None:
        failing(log)
        log.log("model:m", {"reviewed": True})
        log.add(RunStarted("p", "again", model=MODEL), run="r2")

    client = client_of(tmp_path, write)
    assert client.get("model:m@1").metadata == {"accuracy": 0.9, "reviewed": True}
    assert client.get("model:m").version == "3"


def test_a_version_left_empty_counts_again_when_something_is_logged_on_it(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        failing(log)
        log.log("model:m@2", {"salvaged": 1})

    client = client_of(tmp_path, write)
    assert [client.get("model:m", as_of=position).version for position in (1, 2, 3, 4)] == ["1", "2", "1", "2"]


def test_a_version_that_has_metadata_stays_the_latest_when_its_run_fails(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        failing(log)
        log.add(RunStarted("p", "again", model=MODEL), run="r2")
        log.log("model:m@3", {"epoch": 1})
        log.add(RunFinished("failed", "ValueError", "late"), run="r2")

    assert client_of(tmp_path, write).get("model:m").version == "3"


def output(folder: Path, *words: str) -> tuple[int, str]:
    done = CliRunner().invoke(app, ["stage", *words, "--data-dir", str(folder)], env={"RUNLORE_MODE": "disabled"})
    return done.exit_code, done.stderr


def test_stage_without_a_version_says_which_one_it_takes_and_why(tmp_path: Path) -> None:
    client_of(tmp_path, failing)
    code, text = output(tmp_path, "model:m", "production")
    assert code == 0
    assert "model:m@1 (the latest; @2 was left empty by run r1, which failed)" in text
    assert output(tmp_path, "model:m@2", "production") == (0, "")  # who names a version means it


@pytest.mark.parametrize(
    ("status", "why"), [("failed", "run r2 failed"), (None, "run r2 is still running"), ("completed", None)]
)
def test_stage_without_a_version_refuses_one_whose_run_failed_or_is_running(
    tmp_path: Path, status: str | None, why: str | None
) -> None:
    def write(log: LogBuilder) -> None:
        failing(log)
        log.add(RunStarted("p", "again", model=MODEL), run="r2")
        log.log("model:m@3", {"epoch": 1})
        if status is not None:
            log.add(RunFinished(status), run="r2")

    client_of(tmp_path, write)
    for reference in ("model:m", "model:m@latest"):
        code, text = output(tmp_path, reference, "production")
        assert code == (0 if why is None else 2)
        assert (why or "model:m@3 (the latest)") in text
        assert why is None or "write model:m@3" in text


def test_stage_without_a_version_says_so_where_nothing_tells_which_is_the_latest(tmp_path: Path) -> None:
    code, text = output(tmp_path, "model:m", "production")
    assert code == 0
    assert "the latest version" in text
    client_of(tmp_path / "other", failing)
    assert "Created model:unknown (it did not exist)" in output(tmp_path / "other", "model:unknown", "production")[1]
