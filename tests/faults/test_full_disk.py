"""A server whose disk was full: known while it lasts, and healed when there is room again."""

from __future__ import annotations

import resource

import pytest

import runlore.producer as producer
from runlore.cli import stack as stack_module
from runlore.cli.checkup import check_up
from runlore.cli.stack import EmbeddedStack
from runlore.producer import log_metadata, outbox_status
from runlore.query import Client
from runlore.store.folder import DataDir
from runlore.store.private_files import read_struct
from runlore.store.records import Endpoint, ProjectorStatus
from tests.oracle import assert_nothing_lost_or_doubled
from tests.patience import until


def limit_files(pid: int, size: int) -> None:
    """No file of the process grows beyond this: a disk that is full for its blocks, and only for them."""
    resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))


@pytest.mark.slow
def test_a_full_disk_is_known_and_the_server_is_started_again_when_there_is_room(
    stack: EmbeddedStack, data: DataDir, monkeypatch: pytest.MonkeyPatch
) -> None:
    log_metadata({"n": 0}, "load:disk@1").wait(90)
    endpoint = read_struct(data.endpoint, Endpoint)
    assert endpoint is not None
    room = False
    monkeypatch.setattr(stack_module, "has_room", lambda folder: room)
    notes: list[str] = []
    monkeypatch.setattr(stack, "_note", notes.append)
    [block] = data.nats.rglob("1.blk")
    limit_files(endpoint.pid, block.stat().st_size + 3000)
    for number in range(1, 101):
        log_metadata({"n": number, "text": "x" * 500}, "load:disk@1")

    def known() -> bool:
        stack.supervise()
        status = read_struct(data.status, ProjectorStatus)
        return bool(notes) and not stack.ready() and status is not None and bool(status.problems)

    until(known)
    assert "stores no more events" in notes[0]
    assert "the disk is full" in notes[0]
    findings = {finding.check: finding for finding in check_up(stack.settings)}
    assert findings["storing"].outcome == "fail"
    assert "`runlore up`" in findings["storing"].advice
    assert findings["outbox"].detail != "0 events wait"
    assert sum(one.waiting for one in outbox_status(data)) > 0
    stack.supervise()
    assert len(notes) == 1, "said once"
    now = read_struct(data.endpoint, Endpoint)
    assert now is not None
    assert now.pid == endpoint.pid, "while the disk is full it is left alone"
    room = True

    def healed() -> bool:
        stack.supervise()
        return stack.ready() and not sum(one.waiting for one in outbox_status(data))

    until(healed, 90)
    assert producer.flush(90).unsent == 0
    with Client(data.root) as client:
        values = until(lambda: len(found := client.get("load:disk@1").history("n")) == 101 and found)
    assert [entry.value for entry in values] == list(range(101))
    assert_nothing_lost_or_doubled(stack.settings)
