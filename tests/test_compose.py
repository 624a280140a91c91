"""compose.yaml without containers: the same commands and variables as local processes."""

from __future__ import annotations

import http.client
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from runlore.cli.server import find_program
from runlore.cli.stack import readyz
from runlore.query import Client
from tests.patience import until

ROOT = Path(__file__).parent.parent
SECRETS = {
    "RUNLORE_NATS_PASSWORD": "secretofthetest",
    "RUNLORE_NATS_PRODUCER_PASSWORD": "anotherofthetest",
    "RUNLORE_DASHBOARD_TOKEN": "tokenofthetest",
}
GROUP = "RUNLORE_SHARE_WITH_GROUP"
"""Not of this machine: the image has the group."""

Service = dict[str, Any]


@pytest.fixture
def services() -> dict[str, Service]:
    text = (ROOT / "compose.yaml").read_text()
    # Secrets have no default: `:?` stops whoever has not chosen one.
    text = re.sub(r"\$\{(RUNLORE_\w+):\?[^}]+\}", lambda match: SECRETS[match[1]], text)
    assert "${" not in text
    return yaml.safe_load(text)["services"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Host:
    """Where the containers' paths, names and ports are on this machine."""

    def __init__(self, folder: Path) -> None:
        (folder / "nats").mkdir()
        self._folder = folder
        self._paths = {"/nats/store": str(folder / "nats" / "store")}
        self._ports = {port: str(free_port()) for port in ("4222", "8222", "8080", "8081")}

    def environ(self, service: Service) -> dict[str, str]:
        variables: dict[str, str] = service["environment"]
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RUNLORE_")}
        # /data is the service's volume: another folder for each.
        volumes = [volume.partition(":")[0] for volume in service["volumes"] if ":/data" in volume]
        paths = {"/data": str(self._folder / volumes[0])} if volumes else {}
        local = {name: paths.get(value) or self.local(value) for name, value in variables.items() if name != GROUP}
        return {**kept, **local}

    def local(self, text: str) -> str:
        if text in self._paths or text in self._ports:
            return self._paths.get(text) or self._ports[text]
        if text == "0.0.0.0":
            return "127.0.0.1"
        for port, local in self._ports.items():
            text = text.replace(f"@nats:{port}", f"@127.0.0.1:{local}")
            text = re.sub(rf"\b(127\.0\.0\.1|localhost):{port}\b", rf"\1:{local}", text)
        return text

    def port(self, inside: str) -> int:
        return int(self._ports[inside])

    def command(self, service: Service) -> list[str]:
        program, *arguments = service["command"]
        programs = {"python": [sys.executable], "runlore": [sys.executable, "-m", "runlore.cli"]}
        mounts = dict(volume.split(":")[1::-1] for volume in service.get("volumes", ()) if volume.startswith("./"))
        known = [mounts.get(argument, self.local(argument)) for argument in arguments]
        # The image of nats has an entry point, so its command is arguments only.
        return [*programs[program], *known] if program in programs else [find_program(None), program, *known]


@contextmanager
def process(host: Host, service: Service) -> Iterator[subprocess.Popen[bytes]]:
    running = subprocess.Popen(host.command(service), env=host.environ(service), cwd=ROOT)
    try:
        yield running
    finally:
        running.terminate()
        running.wait(90)


def wait_for_port(port: int) -> None:
    def open_for_us() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0

    until(open_for_us)


def healthy(host: Host, service: Service) -> bool:
    """The service's own health check, run here."""
    _, program, *arguments = service["healthcheck"]["test"]
    assert program == "python"
    code = [host.local(argument) for argument in arguments]
    return subprocess.run([sys.executable, *code], capture_output=True, timeout=90).returncode == 0


def ask(port: int, path: str, name: str = "localhost", **headers: str) -> http.client.HTTPResponse:
    """A GET as a browser on this machine sends it, or a login where a body is given."""
    body = headers.pop("body", None)
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=90)
    connection.request("GET" if body is None else "POST", path, body, {"Host": f"{name}:{port}", **headers})
    return connection.getresponse()


def page(port: int, path: str, name: str) -> str:
    """A page as a visitor sees it who logs in on the way."""
    sent = ask(port, path, name)
    assert sent.status == 303
    login = ask(port, sent.headers["Location"], name, body=f"token={SECRETS['RUNLORE_DASHBOARD_TOKEN']}")
    assert (login.status, login.headers["Location"]) == (303, path)
    shown = ask(port, path, name, Cookie=login.headers["Set-Cookie"].partition(";")[0])
    assert shown.status == 200
    return shown.read().decode()


def wait_ready(port: int) -> None:
    wait_for_port(port)
    until(lambda: readyz(f"http://127.0.0.1:{port}"))


def test_the_example_producers_metadata_arrives_and_the_page_shows_it(
    services: dict[str, Service], tmp_path: Path
) -> None:
    host = Host(tmp_path)
    with process(host, services["nats"]), process(host, services["projector"]):
        wait_for_port(host.port("4222"))
        wait_for_port(host.port("8222"))
        wait_ready(host.port("8080"))
        assert healthy(host, services["projector"])
        with process(host, services["dashboard"]):
            wait_ready(host.port("8081"))
            assert healthy(host, services["dashboard"])
            with process(host, services["producer"]) as producer:
                assert producer.wait(90) == 0
            with Client(host.environ(services["projector"])["RUNLORE_DATA_DIR"]) as client:
                until(lambda: client.position > 0)
                assert client.get_model_version("quickstart").metadata["customer"] == "acme"
            for name in ("localhost", "127.0.0.1"):
                assert "acme" in page(host.port("8081"), "/entity?ref=model:quickstart", name)
            assert ask(host.port("8081"), "/", "evil.example").status == 421


def test_the_servers_settings_are_those_of_the_embedded_one(services: dict[str, Service]) -> None:
    nats = services["nats"]
    mounted = [volume.split(":")[0] for volume in nats["volumes"] if volume.endswith(":ro")]
    assert mounted == ["./cli/runlore/cli/nats-server.conf"]
    asked = set(re.findall(r"\$(RUNLORE_NATS_\w+)", (ROOT / mounted[0]).read_text()))
    assert asked == set(nats["environment"])
    assert re.fullmatch(r"nats:\d+\.\d+\.\d+(-\w+)?", nats["image"])


def test_the_page_is_reached_under_its_published_address(services: dict[str, Service]) -> None:
    dashboard = services["dashboard"]
    [port] = dashboard["ports"]
    address, published, inside = port.split(":")
    assert dashboard["environment"]["RUNLORE_DASHBOARD_PORT"] == inside
    assert f"{address}:{published}" in dashboard["environment"]["RUNLORE_DASHBOARD_HOSTS"].split()


def test_nothing_is_published_beyond_this_machine(services: dict[str, Service]) -> None:
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert len(published) == 3
    assert [port for port in published if not port.startswith("127.0.0.1:")] == []


def test_page_and_producer_can_neither_read_the_signing_key_nor_write_the_log(services: dict[str, Service]) -> None:
    projector, page, producer = (services[name] for name in ("projector", "dashboard", "producer"))
    assert projector["volumes"] == ["data:/data"]
    assert page["volumes"] == ["data:/data:ro"]
    assert producer["volumes"] == ["steps:/data"]
    # The key is its owner's alone, and the page is another user.
    image = (ROOT / "Dockerfile").read_text()
    assert (page["user"], "user" in projector) == ("page", False)
    assert {"runlore", "page"} <= set(re.findall(r"useradd .*--groups readers (\w+)", image))
    assert projector["environment"][GROUP] == "readers"
    # Nor can the producer read it from NATS, or the page reach NATS at all.
    assert "//producer:" in producer["environment"]["RUNLORE_URL"]
    assert SECRETS["RUNLORE_NATS_PASSWORD"] not in str(producer) + str(page)
    assert "RUNLORE_URL" not in page["environment"]


def test_every_service_has_a_health_check_or_ends_by_itself(services: dict[str, Service]) -> None:
    assert {name for name, service in services.items() if "healthcheck" not in service} == {"producer"}


def test_the_image_signs_in_in_every_way_that_nats_has() -> None:
    installed = re.search(r"'\.\[([\w,]+)\]'", (ROOT / "Dockerfile").read_text())
    assert installed
    assert {"projector", "cli", "dashboard", "credentials"} <= set(installed[1].split(","))


def test_the_image_runs_without_root() -> None:
    stages = (ROOT / "Dockerfile").read_text().split("\nFROM ")
    users = re.findall(r"^USER (\w+)", stages[-1], re.MULTILINE)
    assert users == ["runlore"]
