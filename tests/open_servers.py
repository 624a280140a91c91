"""A nats-server of an administrator, with any configuration: everything is permitted unless it says otherwise."""

from __future__ import annotations

import contextlib
import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nats.aio.client import Client as NatsConnection
from patience import PATIENCE, until

from runlore.cli.server import find_program
from runlore.schemas import Settings, read_settings
from runlore.store.folder import DataDir
from runlore.store.private_files import read_struct
from runlore.store.records import Endpoint, Login


async def js(connection: NatsConnection, request: str, body: Any = None) -> dict[str, Any]:
    """One request to JetStream's API, as any administrator would send it."""
    sent = json.dumps(body).encode() if body else b""
    answer = await connection.request(f"$JS.API.{request}", sent, timeout=PATIENCE)
    return json.loads(answer.data)


def service_login(data: DataDir) -> dict[str, str]:
    """Variables with which another folder uses this folder's embedded server, as its projector does."""
    endpoint, login = read_struct(data.endpoint, Endpoint), read_struct(data.service, Login)
    assert endpoint
    assert login
    url = endpoint.url.replace("nats://", f"nats://{login.user}:{login.password}@")
    return {"RUNLORE_URL": url, "RUNLORE_INBOX_PREFIX": f"_INBOX_{login.user}"}


class OpenServer:
    """A nats-server of an administrator: no permissions, no embedded configuration."""

    def __init__(self, root: Path, jetstream: bool = True, extra: str = "") -> None:
        self._root, self._jetstream, self._extra = root, jetstream, extra
        self._port = -1
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> str:
        self._root.mkdir(parents=True, exist_ok=True)
        run = self._root / f"run-{time.monotonic_ns()}"
        run.mkdir()
        jetstream = f'jetstream {{ store_dir: "{self._root / "store"}" }}' if self._jetstream else ""
        config = self._root / "server.conf"
        config.write_text(f"host: 127.0.0.1\nport: {self._port}\n{jetstream}\n{self._extra}\n")
        self._process = subprocess.Popen(
            [find_program(None), "-c", str(config), "--ports_file_dir", str(run)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        url = until(lambda: _url_in(run))
        self._port = int(url.rpartition(":")[2])
        return url

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


def _url_in(run: Path) -> str | None:
    for ports in run.glob("*.ports"):
        with contextlib.suppress(ValueError, KeyError, IndexError):
            return json.loads(ports.read_bytes())["nats"][0]
    return None


@contextlib.contextmanager
def open_server(tmp_path: Path, **options: Any) -> Iterator[tuple[OpenServer, Settings]]:
    """A running OpenServer, and settings that use it."""
    server = OpenServer(tmp_path / "nats", **options)
    try:
        yield server, read_settings(url=server.start())
    finally:
        server.kill()
