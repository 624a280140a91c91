"""The rooms: imports point one way, the namespace stays open, the public face is pinned."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path

import pytest
import sqlite_utils.utils

import runlore
from runlore.store.sqlite import sqlite

ROOT = Path(__file__).parent.parent
ROOMS = ("schemas", "store", "wire", "producer", "projector", "query", "dashboard", "integrations", "cli")
MAY_IMPORT = {
    "schemas": set[str](),
    "store": {"schemas"},
    "wire": {"schemas", "store"},
    "producer": {"schemas", "store", "wire"},
    "projector": {"schemas", "store", "wire"},
    "query": {"schemas", "store", "wire"},
    "dashboard": {"schemas", "store", "query"},
    "integrations": {"schemas", "producer", "query"},
    "cli": {"schemas", "store", "wire", "producer", "projector", "query", "dashboard", "integrations"},
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


def imports_of_files() -> dict[str, set[str]]:
    """Each module and the modules of ours that it imports, those for type checkers only included."""
    files = {
        ".".join(path.relative_to(ROOT / room).with_suffix("").parts).removesuffix(".__init__"): path
        for room in ROOMS
        for path in (ROOT / room / "runlore").rglob("*.py")
    }
    found: dict[str, set[str]] = {}
    for module, path in files.items():
        names = set[str]()
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                inside = {f"{node.module}.{alias.name}" for alias in node.names}
                names |= inside & set(files) or {node.module}
        found[module] = names & set(files) - {module}
    return found


@pytest.mark.parametrize("room", ROOMS)
def test_no_file_imports_in_a_circle(room: str) -> None:
    imports = {module: names for module, names in imports_of_files().items() if module.startswith(f"runlore.{room}")}
    left = dict(imports)
    while leaves := [module for module, names in left.items() if not names & set(left)]:
        for module in leaves:
            del left[module]
    assert sorted(left) == []


def test_only_the_face_makes_the_namespace_a_package() -> None:
    # A second __init__.py would break the editable install: each would hide the other's names.
    assert [path.relative_to(ROOT).parts[0] for path in ROOT.glob("*/runlore/__init__.py")] == ["face"]


def test_logs_and_views_are_opened_by_one_sqlite_library() -> None:
    chosen = sqlite_utils.utils.sqlite3  # type: ignore[attr-defined]  # pyright: ignore[reportPrivateImportUsage] -- the one that writes
    assert chosen.Connection is sqlite.Connection
    outbox = {"sqlite_rows.py", "damaged_sqlite.py"}  # a file that only the producer ever opens
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
    for path in (ROOT / "constraints.txt", *(ROOT / "integrations" / "constraints").glob("*.txt")):
        pins = path.read_text()
        assert "://" not in pins
        assert "--hash=sha256:" in pins


def test_an_integration_imports_public_names_only() -> None:
    rooms = {f"runlore.{room}" for room in MAY_IMPORT["integrations"]}
    found = [
        (path.name, node.module)
        for path in (ROOT / "integrations" / "runlore").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(tuple(f"{room}." for room in rooms))
    ]
    assert found == []


def test_the_face_names_what_the_stub_and_the_rooms_name() -> None:
    stub = ast.parse((ROOT / "face" / "runlore" / "__init__.pyi").read_text())
    told = {(node.module, node.names[0].name) for node in stub.body if isinstance(node, ast.ImportFrom)}
    loaded = {(home, name) for name, home in runlore._HOMES.items()}
    assert told == loaded
    for home, name in loaded:
        room = importlib.import_module(str(home))
        assert name in room.__all__
        assert getattr(runlore, name) is getattr(room, name)
    assert runlore.__version__ == version("runlore")
    with pytest.raises(AttributeError, match="log_metdata"):
        runlore.log_metdata  # noqa: B018 -- a typing error


def test_a_step_that_uses_the_face_loads_the_producer_only() -> None:
    code = (
        "import sys; from runlore import step, log_metadata\n"
        "print(sorted({name.split('.')[1] for name in sys.modules if name.startswith('runlore.')}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=90, check=False)
    assert (done.returncode, done.stdout) == (0, "['producer', 'schemas', 'store', 'wire']\n")


@pytest.mark.parametrize("module", ["runlore.schemas", "runlore.query"])
def test_light_rooms_load_no_heavy_library(module: str) -> None:
    code = (
        f"import sys, {module}\n"
        "heavy = {'nats', 'sqlite_utils', 'click', 'rich', 'numpy', 'pandas', 'starlette'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=90, check=False)
    assert (done.returncode, done.stdout) == (0, "[]\n")


def test_sqlite_utils_does_not_load_pandas_and_numpy_for_us() -> None:
    code = (
        "import sys; import runlore.projector, runlore.cli.commands.tail\n"
        "assert not {'pandas', 'numpy'} & set(sys.modules), 'loaded'\n"
        "import numpy, pandas"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    direct = [
        path.name for room in ROOMS for path in (ROOT / room / "runlore").rglob("*.py")
        if path.name != "database.py" and "from sqlite_utils" in path.read_text()
    ]  # fmt: skip
    assert direct == []
