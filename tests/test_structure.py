"""The rooms: imports point one way, the namespace stays open, the public face is pinned."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlite_utils.utils

from runlore.schemas.sqlite import sqlite

ROOT = Path(__file__).parent.parent
ROOMS = ("schemas", "producer", "projector", "query", "dashboard", "cli")
MAY_IMPORT = {
    "schemas": set[str](),
    "producer": {"schemas"},
    "projector": {"schemas"},
    "query": {"schemas"},
    "dashboard": {"schemas", "query"},
    "cli": {"schemas", "producer", "projector", "query", "dashboard"},
}


def imported_rooms(room: str) -> Iterator[tuple[Path, str]]:
    for path in (ROOT / room / "runlore").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [node.module]
            for name in names:
                parts = name.split(".")
                if parts[0] == "runlore" and len(parts) > 1:
                    yield path, parts[1]


@pytest.mark.parametrize("room", ROOMS)
def test_imports_point_one_way(room: str) -> None:
    allowed = MAY_IMPORT[room] | {room}
    wrong = [(path.name, other) for path, other in imported_rooms(room) if other not in allowed]
    assert wrong == []


@pytest.mark.parametrize("room", ROOMS)
def test_the_namespace_folder_has_no_init(room: str) -> None:
    assert not (ROOT / room / "runlore" / "__init__.py").exists()


def test_logs_and_views_are_opened_by_one_sqlite_library() -> None:
    chosen = sqlite_utils.utils.sqlite3  # type: ignore[attr-defined]  # pyright: ignore[reportPrivateImportUsage] -- the one that writes
    assert chosen.Connection is sqlite.Connection
    outbox = {"outbox.py", "outbox_file.py", "maintenance.py", "rescue.py"}  # a file that only the producer ever opens
    bulk = {"database.py"}  # end_bulk says why
    found = {
        path.name
        for room in ROOMS
        for path in (ROOT / room / "runlore").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Attribute) and ast.unparse(node) == "sqlite3.connect"
    }
    assert found - outbox == bulk


def test_no_file_names_a_registry_or_an_address_of_one() -> None:
    pins = (ROOT / "constraints.txt").read_text()
    assert "://" not in pins
    assert "--hash=sha256:" in pins


@pytest.mark.parametrize("module", ["runlore.schemas", "runlore.query"])
def test_light_rooms_load_no_heavy_library(module: str) -> None:
    code = (
        f"import sys, {module}\n"
        "heavy = {'nats', 'sqlite_utils', 'click', 'rich', 'numpy', 'pandas', 'starlette'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n")
