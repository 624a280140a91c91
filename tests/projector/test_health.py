from __future__ import annotations

import contextlib
import socket
import threading
from urllib.parse import urlsplit

import pytest
from nats_tools import made_events, publish_all, until
from service_tools import get, get_json, running, spawn, status

from runlore.cli.server import EmbeddedServer
from runlore.projector import state
from runlore.projector.bounded_server import MAX_CONNECTIONS
from runlore.projector.health import Health
from runlore.projector.metrics import ProjectorMetrics
from runlore.projector.state import ServiceState
from runlore.schemas import Settings, read_settings
from runlore.store.folder import DataDir
from tests.patience import PATIENCE


def test_a_running_projector_is_live_ready_and_measured(
    settings: Settings, data: DataDir, server: EmbeddedServer
) -> None:
    with running(settings) as service:
        until(lambda: service.state.connected)
        publish_all(settings, made_events(30))
        service.folded(30)
        now = until(lambda: (now := status(data)) and now.connected and now)
        assert get_json(f"{now.http}/livez") == (200, {"live": True})
        code, body = get_json(f"{now.http}/readyz")
        assert (code, body["ready"], body["lag"], body["folded"]) == (200, True, 0, 30)
        code, text = get(f"{now.http}/metrics")
        assert code == 200
        for line in (
            "runlore_archived 30.0",
            "runlore_folded 30.0",
            "runlore_lag 0.0",
            "runlore_events_archived_total 30.0",
            "runlore_events_folded_total 30.0",
            "runlore_quarantined 0.0",
            'runlore_file_bytes{file="log.db"}',
            "runlore_archive_batch_seconds_count",
            "runlore_fold_batch_seconds_count",
        ):
            assert line in text
        assert get(f"{now.http}/nothing")[0] == 404
    with pytest.raises(OSError, match=r"refused|urlopen"):
        get(f"{now.http}/livez")


def test_not_ready_while_nats_is_away(settings: Settings, data: DataDir) -> None:
    with running(settings) as service:
        until(lambda: service.state.disconnects)
        now = until(lambda: status(data))
        code, body = get_json(f"{now.http}/readyz")
        assert (code, body["ready"], body["connected"]) == (503, False, False)
        assert get(f"{now.http}/livez")[0] == 200


def test_ready_and_live_say_no_when_they_should(data: DataDir, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = ServiceState(connected=True, fold_running=True, stream_last=11, folded=0)
    health = Health(read_settings(max_lag=10), seen, ProjectorMetrics(seen, data))
    health.start()
    try:
        code, body = get_json(f"{health.url}/readyz")
        assert (code, body["lag_ok"], body["lag"], body["max_lag"]) == (503, False, 11, 10)
        seen.folded = 1
        assert get(f"{health.url}/readyz")[0] == 200
        seen.fold_running = False
        assert get(f"{health.url}/readyz")[0] == 503
        monkeypatch.setattr(state, "LIVE_SECONDS", 0.0)
        assert get(f"{health.url}/livez")[0] == 503
    finally:
        health.close()


def test_a_port_in_use_is_a_wrong_setting_and_the_folder_stays_free(settings: Settings, server: EmbeddedServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        process = spawn(settings, RUNLORE_HTTP_PORT=str(taken.getsockname()[1]))
        _, errors = process.communicate(timeout=90)
    assert process.returncode == 2
    assert "RUNLORE_HTTP_PORT" in errors
    with running(settings) as service:
        until(lambda: service.state.connected)


def test_half_open_connections_take_neither_threads_nor_the_answer(data: DataDir) -> None:
    seen = ServiceState(connected=True, fold_running=True)
    health = Health(read_settings(), seen, ProjectorMetrics(seen, data))
    health.start()
    before = threading.active_count()
    address = urlsplit(health.url)
    try:
        with contextlib.ExitStack() as held:
            for _ in range(3 * MAX_CONNECTIONS):
                opened = held.enter_context(socket.create_connection((address.hostname, address.port), PATIENCE))
                opened.sendall(b"GET /livez HTTP/1.1\r\nHost:")
            assert get(f"{health.url}/livez")[0] == 200
            until(lambda: threading.active_count() <= before + MAX_CONNECTIONS)
    finally:
        health.close()
