"""The private parts of nats-py that Runlore uses are as it expects, and are used in one file only."""

from __future__ import annotations

import inspect
import re
from importlib.metadata import version
from pathlib import Path

from nats.aio.client import Client
from nats.micro import service
from nats.protocol import parser

from runlore.wire import private

ROOT = Path(__file__).parents[2]
CHANGED = f"nats-py {version('nats-py')} has changed: see wire/runlore/wire/private.py"


def test_nats_py_has_the_private_parts_that_we_use() -> None:
    connection = Client()
    reader = private.protocol_parser(connection)
    assert isinstance(reader, parser.Parser), CHANGED
    assert inspect.iscoroutinefunction(reader.parse), CHANGED
    assert (bytes(reader.buf), reader.state) == (b"", private.AWAITING_LINE), CHANGED
    for name in ("_process_headers", "_send_command"):
        function = getattr(connection, name, None)
        assert inspect.iscoroutinefunction(function), f"{CHANGED}: {name}"
        required = [
            each for each in inspect.signature(function).parameters.values() if each.default is inspect.Parameter.empty
        ]
        assert len(required) == 1, f"{CHANGED}: {name}"
    assert private.server_info(connection) == {}, CHANGED
    assert not inspect.signature(connection._connect_command).parameters, f"{CHANGED}: _connect_command"


def test_a_micro_service_has_the_private_parts_that_we_use() -> None:
    assert service.Service(Client(), service.ServiceConfig("name", "1.0.0"))._endpoints == [], CHANGED
    assert "self._subscription" in inspect.getsource(service.Endpoint), CHANGED


def test_no_other_file_reaches_into_nats_py() -> None:
    private_names = re.compile(
        r"\._(?:ps|process_headers|send_command|server_info|connect_command)\b|\"_(?:ps|process_headers)\""
    )
    connection_private = re.compile(r"connection\)?\._[a-z]")
    found = [
        path.name
        for room in ("schemas", "store", "wire", "producer", "projector", "query", "dashboard", "cli")
        for path in (ROOT / room).rglob("*.py")
        if private_names.search(text := path.read_text()) or ("nats" in text and connection_private.search(text))
    ]
    assert found == ["private.py"]
