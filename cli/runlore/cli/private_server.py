"""A nats-server of a command's own: on a folder that nobody else uses, with every right, for as long as it takes."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import msgspec

from runlore.cli.nats_process import NatsProcess, quoted
from runlore.schemas.settings import Settings
from runlore.store.ownership import private_opener

STREAMS = Path("jetstream") / "$G" / "streams"
"""The folder in which a server keeps the streams of its default account, below its store."""

_CONFIG = """
host: 127.0.0.1
port: -1
http_base_path: "/{secret}"
max_payload: 8MB
jetstream {{ store_dir: {store} }}
authorization {{ user: runlore, password: "{secret}" }}
"""


class PrivateServer:
    """A server over `<folder>/store`; `settings` reach it. Enter it from the main thread."""

    def __init__(self, program: str, folder: Path, settings: Settings) -> None:
        self._folder, self._settings = folder, settings
        self._process = NatsProcess(program, folder)

    @property
    def store(self) -> Path:
        return self._folder / "store"

    def __enter__(self) -> Settings:
        secret = f"rl{secrets.token_hex(16)}"
        config = self._folder / "server.conf"
        with open(config, "w", opener=private_opener) as file:
            file.write(_CONFIG.format(secret=secret, store=quoted(self.store)))
        address = self._process.start(config, {})["nats"].replace("nats://", f"nats://runlore:{secret}@")
        return msgspec.structs.replace(self._settings, url=address, credentials=None)

    def __exit__(self, *_: Any) -> None:
        self._process.stop()
