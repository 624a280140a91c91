"""Destinations: the server that a process uses, in a form that can be stored and compared.

embedded                 the server that `runlore up` runs in the same data folder
host:4222,other:4222     RUNLORE_URL without user, password and scheme
"""

from __future__ import annotations

import contextlib
from urllib.parse import urlsplit

from runlore.schemas.errors import FolderError
from runlore.schemas.settings import Settings
from runlore.store.folder import DataDir
from runlore.store.private_files import read_trusted
from runlore.store.records import Endpoint

EMBEDDED = "embedded"
_DEFAULT_PORT = 4222
_LOOPBACK = {"localhost": "127.0.0.1", "::1": "127.0.0.1"}


def server_key(settings: Settings) -> str:
    """The server that these settings mean."""
    if settings.url is None:
        return EMBEDDED
    addresses = sorted({_address(url) for url in settings.url.split(",") if url.strip()})
    endpoint = known_endpoint(settings)
    if endpoint is not None and addresses == [_address(endpoint.url)]:
        return EMBEDDED
    return ",".join(addresses)


def known_endpoint(settings: Settings) -> Endpoint | None:
    """The embedded server of the data folder; None without one, or where another user may have written what it says."""
    with contextlib.suppress(FolderError):
        return read_trusted(DataDir(settings.data_dir).endpoint, Endpoint)
    return None


def same_server(one: str | None, other: str | None) -> bool:
    """Return whether two keys may name the same server or cluster: they share an address. None (unknown) may be any."""
    if one is None or other is None:
        return True
    return not set(one.split(",")).isdisjoint(other.split(","))


def has_shards(settings: Settings) -> bool:
    """Return whether there may be other shards than 0: the server of `runlore up` has one stream."""
    return server_key(settings) != EMBEDDED


def _address(url: str) -> str:
    url = url.strip()
    parts = urlsplit(url if "://" in url else f"nats://{url}")
    host = (parts.hostname or "").lower()
    try:
        port = parts.port or _DEFAULT_PORT
    except ValueError:
        return url  # no port number: nats-py says so when it connects
    return f"{_LOOPBACK.get(host, host)}:{port}"
