"""Two events with one ID and different content: the second is kept, quarantined and reported, in every replay."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from folders import folding, make_folder, some_log
from hypothesis import HealthCheck, given, settings, strategies
from service_tools import running

from runlore.cli.checkup import check_up
from runlore.projector.archiving.archive import Archive
from runlore.projector.views.digest import view_digest
from runlore.projector.views.rebuild import rebuild_view
from runlore.query import Client
from runlore.schemas import read_settings
from runlore.store.folder import DataDir
from runlore.store.log_rows import Received
from tests.cli.stack_process import run_cli
from tests.events import EPOCH, LogBuilder


def conflicting() -> LogBuilder:
    """Seven events: the third has the ID of the first with another payload, the fifth is a true copy of the second."""
    log = some_log(2)
    first, second = log.rows
    forged = some_log(1, note="forged").rows[0]
    log.add_raw(forged.payload, first.event_id)
    log.log("model:m1@1", {"n": 4})
    log.add_raw(second.payload, second.event_id)
    log.add_raw(b"\xc1 no event", second.event_id)
    log.log("model:m1@1", {"n": 7})
    return log


def quarantined(data: DataDir) -> list[tuple[int, str]]:
    with Client(data.root) as client:
        return sorted((row["position"], row["stage"]) for row in client.quarantine())


def test_it_is_kept_quarantined_and_has_no_effect(tmp_path: Path) -> None:
    log = conflicting()
    data = make_folder(tmp_path / "data", log)
    assert quarantined(data) == [(3, "conflict"), (6, "conflict")]
    with Client(data.root) as client:
        [_, row] = client.quarantine()
        assert (row["event_id"], row["position"]) == (log.rows[0].event_id, 3)
        assert f"event {log.rows[0].event_id} is at position 1 with other content" in row["error"]
        assert "forged" not in str(client.get("model:m0@1").metadata)
        # Who waits for the first event of the ID gets it.
        assert client.wait_for(str(log.rows[0].event_id), timeout=90) == 1
    archive = Archive.open(data.log, EPOCH)
    assert (archive.duplicates, archive.conflicts) == (3, 2)
    archive.close()


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(borders=strategies.sets(strategies.integers(1, 6)))
def test_replays_are_equal_wherever_batches_end(tmp_path_factory: pytest.TempPathFactory, borders: set[int]) -> None:
    data = DataDir(tmp_path_factory.mktemp("conflict"))
    log = conflicting()
    archive = Archive.open(data.log, EPOCH)
    edges = [0, *sorted(borders), len(log.rows)]
    for first, last in itertools.pairwise(edges):
        archive.append([Received(*row[:4], b"", row.payload) for row in log.rows[first:last]])
    assert (archive.duplicates, archive.conflicts) == (3, 2)
    archive.close()
    with folding(data) as fold:
        fold.reached(7)
    live = view_digest(data.current_view())
    assert view_digest(rebuild_view(data).path) == live
    assert quarantined(data) == [(3, "conflict"), (6, "conflict")]


def test_health_doctor_and_audit_report_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = make_folder(tmp_path / "data", conflicting())
    monkeypatch.setenv("RUNLORE_DATA_DIR", str(data.root))
    findings = {one.check: one for one in check_up(read_settings())}
    assert findings["conflicts"].outcome == "warn"
    assert findings["conflicts"].detail.startswith("2 events have the ID of an earlier one")
    assert findings["quarantine"].outcome == "ok"
    verified = run_cli("audit", "verify", "--offline")
    assert verified.returncode == 0, verified.stdout
    assert "2 events have an earlier one's ID and other content, the first of them event 3" in verified.stdout
    with running(read_settings(url="nats://127.0.0.1:1")) as service:
        service.folded(7)
        assert service.state.quarantined == 2
