"""How many statements a read takes, whatever it finds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runlore.query import Client, Entity
from runlore.schemas import RunFinished, RunStarted
from tests.events import LogBuilder
from tests.query.views import client_of


def statements(client: Client, read: Callable[[Client], Any]) -> list[str]:
    """The statements of a read, by SQLite's own account."""
    found: list[str] = []
    with client.scope.reader.read() as connection:
        connection.set_trace_callback(found.append)
        try:
            read(client)
        finally:
            connection.set_trace_callback(None)
    return found


def runs(log: LogBuilder, count: int) -> None:
    for number in range(count):
        pipeline = "nightly" if number % 2 else "weekly"
        log.add(RunStarted(pipeline, f"the {number}th"), run=f"run{number}")
        if number % 3:
            log.add(RunFinished("completed"), run=f"run{number}")


LISTS: dict[str, Callable[[Client], Any]] = {
    "runs": lambda client: [run.name for run in client.list_pipeline_runs()],
    "runs of a pipeline": lambda client: [run.name for run in client.list_pipeline_runs("nightly")],
    "runs with a status": lambda client: [run.name for run in client.list_pipeline_runs(status="completed")],
    "entities": lambda client: [run.name for run in client.list_entities("run")],
    "found": lambda client: [run.name for run in client.find("run", "status = 'completed'")],
}


@pytest.mark.parametrize("read", LISTS.values(), ids=LISTS)
@pytest.mark.parametrize("as_of", [None, 10])
def test_a_list_takes_as_many_statements_however_long_it_is(
    tmp_path: Path, read: Callable[[Client], Any], as_of: int | None
) -> None:
    few, many = (client_of(tmp_path / str(count), lambda log, count=count: runs(log, count)) for count in (8, 80))
    if as_of is not None:
        few, many = (Client(client.scope.reader.data.root, as_of=client.position) for client in (few, many))  # type: ignore[union-attr]
    assert len(read(few)) < len(read(many))
    assert len(statements(few, read)) == len(statements(many, read)) <= 6


def test_making_an_entity_reads_nothing(tmp_path: Path) -> None:
    client = client_of(tmp_path, lambda log: runs(log, 3))
    run: Entity = client.get_pipeline_run("run1")
    assert statements(client, lambda _: type(run)(run.scope, run._row)) == []  # type: ignore[arg-type]
