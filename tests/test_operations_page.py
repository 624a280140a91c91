"""docs/operations.md is true: its walk runs as written, and what it gives to systemd and Kubernetes starts."""

from __future__ import annotations

import contextlib
import os
import random
import re
import shlex
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import yaml

from runlore.cli.server import find_program
from runlore.cli.stack import readyz
from runlore.schemas import SETTINGS
from tests.clusters import free_ports
from tests.open_servers import open_server
from tests.page_blocks import run_blocks
from tests.patience import until

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "operations.md"


def block(language: str, page: str) -> str:
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    return found


def three_free_ports() -> int:
    """A number whose ports <number>1, <number>2 and <number>3 are free."""
    for number in random.sample(range(2000, 3200), 100):
        with contextlib.suppress(OSError), contextlib.ExitStack() as probes:
            for last in (1, 2, 3):
                probe = probes.enter_context(socket.socket())
                probe.bind(("127.0.0.1", 10 * number + last))
            return number
    pytest.fail("no free ports")


def end(folder: Path) -> None:
    """End the processes that the walk started, however far it came."""
    for number in (folder / "processes").read_text().split() if (folder / "processes").exists() else []:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(int(number))
            if Path(process.cwd()) == folder:  # else the number is another process's by now
                process.kill()


@pytest.mark.slow
def test_the_walk_from_nothing_to_a_cluster_with_two_tenants(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = PAGE.read_text()
    for written in ("422", "622"):
        page = re.sub(rf"(127\.0\.0\.1:){written}(?=[123$])", rf"\g<1>{three_free_ports()}", page)
    (tmp_path / "operations.md").write_text(page)
    monkeypatch.delenv("RUNLORE_DATA_DIR")
    monkeypatch.setenv("PATH", f"{Path(find_program(None)).parent}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.chdir(tmp_path)
    try:
        run_blocks(tmp_path / "operations.md", tmp_path)
    finally:
        end(tmp_path)
    assert (tmp_path / "backup" / "manifest.json").exists()


@contextlib.contextmanager
def started(command: list[str], variables: dict[str, str]) -> Iterator[None]:
    process = subprocess.Popen(command, env={**os.environ, **variables})
    try:
        yield
    finally:
        process.terminate()
        assert process.wait(90) == 0


def test_the_systemd_unit_starts_a_projector_that_is_ready(tmp_path: Path) -> None:
    lines = [line for line in block("ini", PAGE.read_text()).splitlines() if line and not line.startswith(("#", "["))]
    pairs = [(name, value) for name, _, value in (line.partition("=") for line in lines)]
    unit = dict(pairs)
    variables = dict(value.split("=", 1) for name, value in pairs if name == "Environment")
    assert set(variables) <= {setting.variable for setting in SETTINGS.values()}
    assert unit["RestartPreventExitStatus"].split() == ["2", "4"]
    assert variables["RUNLORE_DATA_DIR"] == f"/var/lib/{unit['StateDirectory']}"
    program, *arguments = shlex.split(unit["ExecStart"])
    assert Path(program).name == "runlore"
    (port,) = free_ports(1)
    with open_server(tmp_path) as (_, settings):
        variables |= {"RUNLORE_DATA_DIR": str(tmp_path / "state"), "RUNLORE_HTTP_PORT": str(port)}
        variables["RUNLORE_URL"] = str(settings.url)
        with started([sys.executable, "-m", "runlore.cli", *arguments], variables):
            until(lambda: readyz(f"http://127.0.0.1:{port}"))


def test_the_kubernetes_example_fits_together() -> None:
    resources: dict[str, dict[str, Any]] = {
        resource["kind"]: resource for resource in yaml.safe_load_all(block("yaml", PAGE.read_text()))
    }
    secret, pods, service = resources["Secret"], resources["StatefulSet"]["spec"], resources["Service"]["spec"]
    assert pods["replicas"] == 1
    assert pods["selector"]["matchLabels"] == pods["template"]["metadata"]["labels"] == service["selector"]
    projector, page = pods["template"]["spec"]["containers"]
    ports: dict[str, int] = {}
    for container in (projector, page):
        values = {one["name"]: one.get("value") for one in container["env"]}
        assert set(values) <= {setting.variable for setting in SETTINGS.values()}
        asked = [one["valueFrom"]["secretKeyRef"] for one in container["env"] if "valueFrom" in one]
        assert all(one["name"] == secret["metadata"]["name"] and one["key"] in secret["stringData"] for one in asked)
        (port,) = container["ports"]
        assert str(port["containerPort"]) in (values.get("RUNLORE_HTTP_PORT"), values.get("RUNLORE_DASHBOARD_PORT"))
        ports[port["name"]] = port["containerPort"]
    probes = {probe: projector[probe]["httpGet"]["path"] for probe in ("livenessProbe", "readinessProbe")}
    assert probes == {"livenessProbe": "/livez", "readinessProbe": "/readyz"}
    assert {one["targetPort"] for one in service["ports"]} == set(ports)
    # The page is another user, and cannot write.
    assert projector["securityContext"]["runAsUser"] != page["securityContext"]["runAsUser"]
    assert [mount.get("readOnly", False) for mount in page["volumeMounts"]] == [True]
    dockerfile = (ROOT / "Dockerfile").read_text()
    for container, user in ((projector, "runlore"), (page, "page")):
        assert re.search(rf"--uid {container['securityContext']['runAsUser']} .*\b{user} ", dockerfile)
