"""Stops in the past of an entity: exact beside the position, spread over all of it, and a run's are its steps' as well."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from runlore.query import Client
from runlore.query.page.timeline import stops
from runlore.schemas.events import RunFinished, RunStarted, StepFinished, StepStarted
from runlore.schemas.references import EntityRef
from tests.events import LogBuilder
from tests.query.views import client_of

EVENTS = 2500
LIMIT = 100


def write(log: LogBuilder) -> None:
    """Every second event is about the entity that is asked for."""
    for number in range(EVENTS):
        log.log("experiment:long@1", {"loss": number})
        log.log("experiment:other@1", {"loss": number})


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Client:
    return client_of(tmp_path_factory.mktemp("long"), write)


@pytest.mark.parametrize(("position", "before", "after"), [
    (1, None, 3), (2, None, 3), (3, 1, 5), (1001, 999, 1003), (1002, 999, 1003), (4999, 4997, None), (5000, 4997, None),
])  # fmt: skip
def test_the_events_before_and_after_are_exact(
    client: Client, position: int, before: int | None, after: int | None
) -> None:
    found = stops(client.get("experiment:long@1", as_of=position), position, LIMIT)
    assert (found.before, found.after) == (before, after)


@pytest.mark.parametrize("position", [1, 1001, 1234, 5000])
def test_the_stops_cover_the_whole_past_evenly(client: Client, position: int) -> None:
    spread = stops(client.get("experiment:long@1"), position, LIMIT).spread
    assert LIMIT * 0.9 <= len(spread) <= LIMIT
    assert spread == sorted(set(spread))
    assert (spread[0], spread[-1]) == (1, 4999)
    assert (position if position % 2 else position - 1) in spread
    assert all(place % 2 for place in spread)
    widest = max(after - before for before, after in itertools.pairwise(spread))
    assert widest <= 2 * -(-EVENTS // (LIMIT - 2))


def test_a_short_past_is_there_whole(client: Client) -> None:
    assert stops(client.get("experiment:long@1"), 7, EVENTS).spread == list(range(1, 2 * EVENTS, 2))


def write_run(log: LogBuilder, steps: int = 2, epochs: int = 10) -> None:
    log.add(RunStarted("training", "night"), run="r")
    for number in range(steps):
        name = f"s{number}"
        log.add(StepStarted(), run="r", step=name)
        for epoch in range(epochs):
            log.log(EntityRef("step", name, run="r"), {"epoch": epoch}, run="r", step=name)
        log.add(StepFinished("completed"), run="r", step=name)
    log.add(RunFinished("completed"), run="r")


def test_a_run_stops_at_events_of_its_steps(tmp_path: Path) -> None:
    with client_of(tmp_path, write_run) as client:
        run = client.get("run:r", as_of=5)
        assert stops(run, 5) == (4, 6, list(range(1, client.position + 1)))


def test_many_steps_are_thinned_together(tmp_path: Path) -> None:
    with client_of(tmp_path, lambda log: write_run(log, steps=60, epochs=5)) as client:
        found = stops(client.get("run:r"), 200, LIMIT)
        assert (found.before, found.after) == (199, 201)
        assert LIMIT * 0.6 <= len(found.spread) <= LIMIT
        assert {1, 200, client.position} <= set(found.spread)
