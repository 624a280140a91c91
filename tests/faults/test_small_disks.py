"""Real disks that are really full, under the stream's store and under log.db and the view, and room on them again."""

from __future__ import annotations

import pytest

from runlore.cli.stack import EmbeddedStack
from runlore.producer import Receipt, configure, flush, log_metadata
from runlore.query import Client
from runlore.schemas import Settings
from runlore.store.folder import DataDir
from runlore.store.private_files import read_struct
from runlore.store.records import ProjectorStatus
from tests.oracle import assert_nothing_lost_or_doubled
from tests.patience import until
from tests.projector.service_tools import Running, running
from tests.small_disk import fill_with_zeros, small_disk


def log_some(numbers: range) -> list[Receipt]:
    return [log_metadata({"n": number, "text": "x" * 2000}, "load:disk@1") for number in numbers]


def assert_all_there(settings: Settings, receipts: list[Receipt]) -> None:
    assert flush(90).unsent == 0
    assert_nothing_lost_or_doubled(settings, [receipt.event_id for receipt in receipts])
    with Client(settings.data_dir) as client:
        assert [entry.value for entry in client.get("load:disk@1").history("n")] == list(range(len(receipts)))


@pytest.mark.slow
def test_a_full_disk_under_the_stream_loses_nothing_and_the_stack_heals_when_there_is_room(
    settings: Settings, data: DataDir
) -> None:
    notes: list[str] = []
    with small_disk(data.nats, "40m") as disk, EmbeddedStack(settings, notes.append) as stack:
        configure()
        receipts = log_some(range(10))
        receipts[-1].wait(90)
        fill_with_zeros(disk / "hog")
        receipts += log_some(range(10, 400))

        def known() -> bool:
            stack.supervise()
            return any("the disk is full" in note for note in notes)

        until(known)
        (disk / "hog").unlink()

        def healed() -> bool:
            stack.supervise()
            return stack.ready() and flush(0.1).unsent == 0

        until(healed)
        assert_all_there(settings, receipts)
        configure(mode="disabled")


def test_a_full_disk_under_log_and_view_stops_the_projector_and_loses_nothing(
    settings: Settings, data: DataDir, server: object
) -> None:
    with small_disk(data.projection, "60m") as disk:
        with running(settings) as service:
            until(lambda: service.state.connected)
            configure()
            receipts = log_some(range(10))
            service.folded(10)
        service = Running(settings)
        until(lambda: service.state.connected)
        fill_with_zeros(disk / "hog")
        receipts += log_some(range(10, 600))
        error = service.ended()
        assert "full" in str(error) or "No space left" in str(error)
        output = read_struct(data.status, ProjectorStatus)
        assert output is not None, "what was there before stays"
        (disk / "hog").unlink()
        with running(settings):
            assert_all_there(settings, receipts)
        configure(mode="disabled")
