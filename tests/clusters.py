"""A cluster of nats-servers on loopback: each may be killed, stopped for a while, and started again."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from runlore.cli.server import find_program
from runlore.schemas import RunloreError, Settings, read_settings
from runlore.wire.connect import connect
from tests.patience import until

_CONFIG = """
server_name: n{number}
listen: 127.0.0.1:{port}
max_payload: 2MB
jetstream {{ store_dir: "{store}", sync_interval: always }}
cluster {{ name: c, listen: 127.0.0.1:{route}, routes: [{routes}] }}
{extra}
"""


def free_ports(count: int) -> list[int]:
    """Ports that are free now; all of them at once, so that they differ."""
    with contextlib.ExitStack() as probes:
        sockets = [probes.enter_context(socket.socket()) for _ in range(count)]
        for probe in sockets:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in sockets]


class Cluster:
    """Nodes 0, 1, …; `url` names all of them. Node n's server is called `n<n>`."""

    def __init__(self, folder: Path, nodes: int = 3, extra: str = "") -> None:
        self._folder, self._extra = folder, extra
        self._ports, self._routes = free_ports(nodes), free_ports(nodes)
        self._processes: dict[int, subprocess.Popen[bytes]] = {}

    @property
    def url(self) -> str:
        return ",".join(f"nats://127.0.0.1:{port}" for port in self._ports)

    @property
    def nodes(self) -> range:
        return range(len(self._ports))

    def start(self, *nodes: int) -> None:
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in self._routes)
        for node in nodes or self.nodes:
            folder = self._folder / f"n{node}"
            folder.mkdir(parents=True, exist_ok=True)
            values = {"number": node, "port": self._ports[node], "route": self._routes[node], "routes": routes}
            config = folder / "server.conf"
            config.write_text(_CONFIG.format(**values, store=folder / "store", extra=self._extra))
            with (folder / "server.log").open("ab") as log:
                command = [find_program(None), "-c", str(config)]
                self._processes[node] = subprocess.Popen(command, stdout=log, stderr=log)

    def kill(self, *nodes: int) -> None:
        for node in nodes or self.nodes:
            if (process := self._processes.pop(node, None)) is not None:
                process.kill()
                process.wait()

    def pause(self, node: int) -> None:
        self._processes[node].send_signal(signal.SIGSTOP)

    def resume(self, node: int) -> None:
        self._processes[node].send_signal(signal.SIGCONT)

    def ask(self, request: str, body: Any = None, url: str = "") -> dict[str, Any]:
        """One request of JetStream's API. Raises RunloreError, TimeoutError."""
        return asyncio.run(_ask(read_settings(url=url or self.url), request, body))

    def leader(self, stream: str = "RUNLORE") -> int:
        """The node that leads a stream, once one does."""

        def look() -> int | None:
            with contextlib.suppress(RunloreError, TimeoutError):
                name = self.ask(f"STREAM.INFO.{stream}").get("cluster", {}).get("leader")
                return int(name[1:]) + 1 if name else None
            return None

        return until(look) - 1

    def wait(self) -> None:
        """Until JetStream has a leader that sees every node."""

        def ready() -> bool:
            with contextlib.suppress(RunloreError, TimeoutError):
                return "error" not in self.ask("INFO")
            return False

        until(ready)


async def _ask(settings: Settings, request: str, body: Any) -> dict[str, Any]:
    async def ignore(*_: Any) -> None: ...

    connection = await connect(settings, "test", ignore, ignore)
    try:
        sent = json.dumps(body).encode() if body else b""
        return json.loads((await connection.request(f"$JS.API.{request}", sent, timeout=2)).data)
    except Exception as error:
        raise TimeoutError(str(error)) from error
    finally:
        await connection.close()


@contextlib.contextmanager
def running_cluster(folder: Path, nodes: int = 3, extra: str = "") -> Iterator[Cluster]:
    cluster = Cluster(folder, nodes, extra)
    try:
        cluster.start()
        cluster.wait()
        yield cluster
    finally:
        cluster.kill()
