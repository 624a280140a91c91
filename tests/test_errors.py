"""The tree of errors: documented, exported, and the only thing that the errors of other libraries become."""

from __future__ import annotations

import ast
import asyncio
import pickle
import re
from pathlib import Path

import pytest
from open_servers import open_server

import runlore
from runlore import schemas
from runlore.cli.app import exit_code
from runlore.dashboard.answering import status_of
from runlore.dashboard.visit import MissingEntityError
from runlore.producer.outboxes.outbox import Outbox
from runlore.projector import ArchiveReader
from runlore.query import Client
from runlore.schemas import (
    AccessDeniedError,
    CorruptLogError,
    EventDecodeError,
    OutboxError,
    RunloreError,
    ServerUnavailableError,
    Settings,
    errors,
    read_settings,
)
from runlore.schemas.codec import decode_event
from runlore.schemas.errors import FolderError
from runlore.store.access import make_folder
from runlore.wire.connect import connect
from runlore.wire.stream import stream_info

ROOT = Path(__file__).parent.parent
CLASSES = {
    name: kind for name, kind in vars(errors).items() if isinstance(kind, type) and kind.__module__ == errors.__name__
}
_ROW = re.compile(r"^([│├└─ ]*)(\w+Error)(?: +\((\w+)\))? *(\S.*)?$", re.MULTILINE)


def drawn() -> dict[str, tuple[str, str | None]]:
    """Each class of the docstring's tree, its parent, and the built-in error it also is."""
    above: list[str] = []
    found: dict[str, tuple[str, str | None]] = {}
    assert errors.__doc__
    for indent, name, builtin, meaning in _ROW.findall(errors.__doc__.partition("\n\n")[2].partition("\n\n")[0]):
        del above[len(indent) // 4 :]
        found[name] = above[-1] if above else "Exception", builtin or None
        above.append(name)
        assert meaning or name == "RunloreError"
    return found


def test_the_tree_in_the_docstring_is_the_tree_of_the_classes() -> None:
    tree = drawn()
    assert set(tree) == set(CLASSES)
    for name, (parent, builtin) in tree.items():
        assert [base.__name__ for base in CLASSES[name].__bases__] == [parent] + ([builtin] if builtin else [])


def test_every_error_is_exported_and_documented() -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    for name, kind in CLASSES.items():
        assert getattr(schemas, name) is getattr(runlore, name) is kind
        assert kind.__doc__
        assert f"`{name}`" in page, name


@pytest.mark.parametrize("name", sorted(set(CLASSES) - {"RunloreError"}))
def test_the_documented_exit_code_and_status_are_the_ones_given(name: str) -> None:
    page = (ROOT / "docs" / "errors.md").read_text()
    (row,) = re.findall(rf"^\| `{name}` \| .* \| (\d) \| (\d+) \|$", page, re.MULTILINE)
    error = CLASSES[name].__new__(CLASSES[name])
    assert (exit_code(error), status_of(error)) == tuple(map(int, row))


@pytest.mark.parametrize(
    "error",
    [
        errors.MetadataTypeError([("a.b", "is a generator")]),
        errors.EventTooLargeError(2, 1, [("a", 2)]),
        errors.FilterError("expected a value", "a >", 4),
        MissingEntityError("no model", ["model:m"]),
        *(kind("why") for name, kind in CLASSES.items() if "__init__" not in vars(kind)),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_back_whole_from_another_process(error: RunloreError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.args, vars(again)) == (type(error), str(error), error.args, vars(error))


def test_only_wire_knows_the_errors_of_nats() -> None:
    rooms = ("schemas", "store", "producer", "projector", "query", "dashboard", "integrations", "cli")
    found = {
        str(path.relative_to(ROOT))
        for room in rooms
        for path in (ROOT / room / "runlore").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (
            isinstance(node, ast.Import)
            and any(alias.name in ("nats.errors", "nats.js.errors") for alias in node.names)
        )
        or (isinstance(node, ast.ImportFrom) and (node.module or "").startswith(("nats.errors", "nats.js")))
    }
    assert found == set()


# -- nats --------------------------------------------------------------------------------------------

USERS = """authorization { users: [
  { user: step, password: pw, permissions: { publish: { deny: "$JS.API.>" } } } ] }"""


def error_of(settings: Settings) -> RunloreError:
    """The error of asking for the stream."""

    async def ask() -> None:
        async def ignore(*_: object) -> None: ...

        connection = await connect(settings, "test", ignore, ignore)
        try:
            await stream_info(connection)
        finally:
            await connection.close()

    with pytest.raises(RunloreError) as raised:
        asyncio.run(ask())
    return raised.value


def test_a_refused_user_is_denied_and_an_absent_server_is_not(tmp_path: Path) -> None:
    with open_server(tmp_path, extra=USERS) as (_, settings):
        bare = str(settings.url)
        for login in ("", "step:wrong@", "nobody:pw@"):
            error = error_of(read_settings(url=bare.replace("nats://", f"nats://{login}")))
            assert type(error) is AccessDeniedError, login
            assert "RUNLORE_CREDENTIALS" in str(error)
        error = error_of(read_settings(url=bare.replace("nats://", "nats://step:pw@")))
        assert type(error) is AccessDeniedError
        assert "may not publish to $JS.API.STREAM.INFO.RUNLORE" in str(error)
    assert type(error_of(read_settings(url=bare))) is ServerUnavailableError  # it is stopped now


def test_a_wrong_token_is_denied(tmp_path: Path) -> None:
    with open_server(tmp_path, extra='authorization { token: "right" }') as (_, settings):
        url = str(settings.url).replace("nats://", "nats://wrong@")
        assert type(error_of(read_settings(url=url))) is AccessDeniedError


# -- msgspec, the system, SQLite ---------------------------------------------------------------------


@pytest.mark.parametrize("payload", [b"", b"\x80", b"\xc1", b"\x81\xa6schema\x63", b"\xd9\x02\xff\xff"])
def test_bytes_that_are_no_event_are_a_decode_error(payload: bytes) -> None:
    with pytest.raises(EventDecodeError):
        decode_event(payload)


def test_a_path_that_the_system_refuses_is_a_folder_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(FolderError, match="is a file"):
        make_folder(tmp_path / "file" / "data")
    with pytest.raises(FolderError, match="is a file"):
        Client(tmp_path / "file" / "data").list_kinds()
    with pytest.raises(OutboxError, match="is a file"):
        Outbox.create(tmp_path / "file" / "outboxes", "p")


def test_a_file_that_is_no_database_is_damage_of_that_file(tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.db"
    damaged.write_bytes(b"SQLite format 4\0" + bytes(4096))
    with pytest.raises(CorruptLogError, match="damaged"):
        Client(damaged).list_kinds()
    with pytest.raises(CorruptLogError, match="damaged"):
        ArchiveReader(damaged)
    with pytest.raises(OutboxError, match="cannot open the outbox"):
        Outbox.adopt(damaged)
