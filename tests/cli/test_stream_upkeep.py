"""Replicas and limits of the stream: what is and what should be, said by projector, health, metrics and doctor."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from runlore.cli.finding import Finding
from runlore.cli.server_checks import check_server
from runlore.projector import ensure_stream, stream_info
from runlore.schemas import Settings, SettingsError, read_settings
from runlore.store.folder import DataDir
from runlore.wire.stream import stream_config
from tests.cli.stack_process import run_cli
from tests.clusters import running_cluster
from tests.open_servers import js
from tests.patience import until
from tests.projector.nats_tools import made_events, open_server, publish_all, with_nats
from tests.projector.service_tools import get, get_json, running, status


def doctor(settings: Settings) -> dict[str, Finding]:
    return {finding.check: finding for finding in check_server(settings)}


def make(settings: Settings) -> None:
    with_nats(settings, lambda connection: ensure_stream(connection, settings))


@pytest.mark.slow
def test_replicas_are_compared_with_the_setting_and_with_the_nodes(tmp_path: Path) -> None:
    with running_cluster(tmp_path / "cluster", nodes=2) as cluster:
        more = run_cli("projector", RUNLORE_URL=cluster.url, RUNLORE_REPLICAS="3")
        assert (more.returncode, "RUNLORE_REPLICAS=3 is more than" in more.stderr) == (2, True)
        unset = read_settings(url=cluster.url)
        make(unset)
        one = doctor(unset)["replicas"]
        assert (one.outcome, "1 replica on a cluster" in one.detail) == ("warn", True)
        assert "RUNLORE_REPLICAS=1 if that is intended" in one.advice
        assert doctor(msgspec.structs.replace(unset, replicas=1))["replicas"].outcome == "ok"
        two = msgspec.structs.replace(unset, replicas=2)
        assert doctor(two)["replicas"].detail == "the stream has 1 replica, RUNLORE_REPLICAS=2"
        config = cluster.ask("STREAM.INFO.RUNLORE")["config"]
        cluster.ask("STREAM.UPDATE.RUNLORE", config | {"num_replicas": 2})
        until(lambda: doctor(two)["replicas"].outcome == "ok")


def test_replicas_on_a_single_server_are_said_and_go_on(tmp_path: Path, data: DataDir) -> None:
    with open_server(tmp_path) as (_, plain):
        make(plain)
        settings = msgspec.structs.replace(plain, replicas=3)
        assert doctor(plain)["replicas"].outcome == "ok"
        assert "RUNLORE_REPLICAS=3" in doctor(settings)["replicas"].detail
        with running(settings) as service:
            until(lambda: "replicas" in service.state.upkeep)
            publish_all(settings, made_events(3))
            service.folded(3)


@pytest.mark.parametrize("text", ["0", "6", "three", "-1"])
def test_replicas_that_no_stream_can_have_are_a_wrong_setting(text: str) -> None:
    with pytest.raises(SettingsError, match="RUNLORE_REPLICAS"):
        read_settings({"RUNLORE_REPLICAS": text})


def test_a_limit_is_legal_and_said_before_it_is_reached(tmp_path: Path, data: DataDir) -> None:
    with open_server(tmp_path) as (_, settings):
        limited = stream_config("epoch", 1) | {"max_bytes": 10_000}
        with_nats(settings, lambda connection: js(connection, "STREAM.CREATE.RUNLORE", limited))
        with running(settings) as service:
            until(lambda: service.state.connected)
            assert {doctor(settings)["stream"].outcome, doctor(settings)["publish"].outcome} == {"ok"}
            assert "stream size" not in doctor(settings)
            for row in made_events(100):
                publish_all(settings, [row])
                if with_nats(settings, stream_info).bytes > 8_000:
                    break
            until(lambda: "stream size" in service.state.upkeep)
            warned = doctor(settings)["stream size"]
            assert (warned.outcome, "--max-bytes" in warned.advice) == ("warn", True)
            address = until(lambda: (now := status(data)) and now.http)
            # Ready as soon as what was published is folded; the finding is no reason not to be.
            _, body = until(lambda: (found := get_json(f"{address}/readyz"))[0] == 200 and found)
            assert "of the stream's 0.0 MB are used" in body["problems"][0]
            assert "runlore_stream_max_bytes 10000.0" in get(f"{address}/metrics")[1]


def test_an_account_that_wants_a_limit_says_how_to_make_the_stream(tmp_path: Path) -> None:
    accounts = """accounts { A { jetstream { max_file: 1G, max_mem: 10M, max_bytes_required: true }
        users: [ { user: a, password: a } ] } }"""
    with open_server(tmp_path, extra=accounts) as (_, plain):
        settings = read_settings(url=str(plain.url).replace("nats://", "nats://a:a@"))
        with pytest.raises(SettingsError, match="--max-bytes"):
            make(settings)
