"""The stream as `runlore operator stream` prints it, for each tool."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from runlore.wire.stream import stream_drift
from tests.cli.stack_process import run_cli
from tests.open_servers import js, open_server
from tests.projector.nats_tools import with_nats

NACK_FIELDS = {
    "name", "subjects", "storage", "retention", "discard", "compression", "metadata", "denyDelete", "denyPurge",
    "allowAtomicPublish", "maxBytes", "replicas", "duplicateWindow", "preventDelete", "preventUpdate",
}  # fmt: skip
"""Of the Stream in nats-io/nack's jetstream.nats.io/v1beta2, as far as Runlore needs them."""


def printed(*options: str) -> str:
    done = run_cli("operator", "stream", *options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_what_is_printed_for_nats_makes_a_stream_without_drift(tmp_path: Path) -> None:
    config = json.loads(printed("--max-bytes", "1000000"))
    with open_server(tmp_path) as (_, settings):
        made = with_nats(settings, lambda connection: js(connection, "STREAM.CREATE.RUNLORE", config))
    assert stream_drift(made["config"]) == []
    assert made["config"]["max_bytes"] == 1_000_000


def test_what_is_printed_for_kubernetes_and_terraform_says_the_same() -> None:
    resource = yaml.safe_load(printed("--format", "nack", "--replicas", "3"))
    spec = resource["spec"]
    assert (resource["apiVersion"], resource["kind"]) == ("jetstream.nats.io/v1beta2", "Stream")
    assert set(spec) == NACK_FIELDS
    assert (spec["replicas"], spec["discard"], spec["duplicateWindow"]) == (3, "new", "120s")
    assert spec["metadata"]["runlore.epoch"]
    command = "runlore operator stream --create --replicas 3 --max-bytes 5000"
    assert command in printed("--format", "terraform", "--replicas", "3", "--max-bytes", "5000")


@pytest.mark.parametrize("projects", [("a b", "a.b"), ("a b", "a%20b")])
def test_projects_whose_names_clash_in_a_configuration_are_refused_or_kept_apart(projects: tuple[str, str]) -> None:
    done = run_cli("operator", "permissions", *(option for one in projects for option in ("--project", one)))
    if done.returncode == 0:
        users = [line for line in done.stdout.splitlines() if "user: " in line and "producer" in line]
        assert len(set(users)) == 2
    else:
        assert done.returncode == 2
