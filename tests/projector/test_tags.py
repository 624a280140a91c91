"""Tags, groups and parents in the view; runs that were killed; what a run was started in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runlore.query import Client
from runlore.schemas import (
    EntityRef,
    ModelVersionCreated,
    RunDescribed,
    RunFinished,
    RunStarted,
    TagsChanged,
    parse_ref,
)
from runlore.schemas.values import pack_metadata
from tests.events import LogBuilder
from tests.query.views import client_of

MODEL = EntityRef("model", "m", "1")
ENVIRONMENT = {"python": "3.11.7", "git": {"commit": "1a2b3c", "dirty": True}, "packages": {"torch": "2.13.0"}}


def _started(log: LogBuilder, run: str, **more: Any) -> None:
    log.add(RunStarted("p", run, **more), run)


def test_runs_are_found_by_their_tags_group_parent_and_environment(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        _started(log, "sweep")
        _started(log, "r1", parent=EntityRef("run", "sweep"), group="seeds", tags=("cpu", "base"))
        _started(log, "r2", parent=EntityRef("run", "sweep"), group="seeds")
        log.add(TagsChanged((EntityRef("run", "r2"), MODEL), added=("gpu", "base")))
        log.add(TagsChanged((EntityRef("run", "r1"),), removed=("base",)))
        log.add(RunDescribed(pack_metadata(ENVIRONMENT)), "r2")

    client = client_of(tmp_path, write)
    first, second = client.get_pipeline_run("r1"), client.get_pipeline_run("r2")
    assert (first.tags, second.tags, client.get("model:m@1").tags) == (["cpu"], ["base", "gpu"], ["base", "gpu"])
    assert (first.parent, first.group, client.get_pipeline_run("sweep").parent) == ("run:sweep", "seeds", None)
    assert client.get_pipeline_run("r1").as_of(4).tags == ["base", "cpu"]  # type: ignore[attr-defined]
    assert (second.environment, first.environment) == (ENVIRONMENT, {})

    def found(where: str) -> list[str]:
        return sorted(run.id for run in client.find("run", where))  # type: ignore[attr-defined]

    assert found("tags contains 'gpu'") == ["r2"]
    assert found("parent = 'run:sweep'") == ["r1", "r2"]
    assert found("group = 'seeds' and not tags contains 'cpu'") == ["r2"]
    assert found("environment.git.commit = '1a2b3c' and environment.git.dirty = true") == ["r2"]
    assert found("environment.packages.torch exists") == ["r2"]


def test_a_killed_run_leaves_its_empty_versions_as_a_failed_one_does(tmp_path: Path) -> None:
    def write(log: LogBuilder) -> None:
        for run, status in (("r1", "completed"), ("r2", "killed")):
            _started(log, run, model=EntityRef("model", "m"))
            log.add(ModelVersionCreated(EntityRef("model", "m")), run)
            if status == "completed":
                log.log("model:m@1", {"accuracy": 0.9})
            log.add(RunFinished(status), run)  # type: ignore[arg-type]  # a status of the list above

    client = client_of(tmp_path, write)
    assert client.get_pipeline_run("r2").status == "killed"
    assert client.get_model_version("m").version == "1"
    assert client.get("model:m@2").fields["left_empty_by"] == "r2"


@settings(max_examples=50, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from(["model:m@1", "run:r", "dataset:d"]),
            st.frozensets(st.sampled_from("abcdef")),
            st.frozensets(st.sampled_from("abcdef")),
        ).filter(lambda change: bool(change[1] | change[2])),
        max_size=12,
    )
)
def test_tags_are_what_a_set_would_have(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, frozenset[str], frozenset[str]]]
) -> None:
    wanted: dict[str, set[str]] = {}
    states: list[tuple[str, int, set[str]]] = []

    def write(log: LogBuilder) -> None:
        for reference, added, removed in changes:
            log.add(TagsChanged((parse_ref(reference),), tuple(sorted(added)), tuple(sorted(removed))))
            wanted[reference] = (wanted.get(reference, set()) | added) - removed
            states.append((reference, log.next - 1, set(wanted[reference])))

    with client_of(tmp_path_factory.mktemp("tags"), write) as client:
        _check(client, states)


def _check(client: Client, states: list[tuple[str, int, set[str]]]) -> None:
    for reference, position, tags in states:
        assert client.get(reference, as_of=position).tags == sorted(tags)
