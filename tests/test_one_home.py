"""One fact has one home, one name means one thing, commands print in one way: held by reading our own sources."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from runlore.schemas import SETTINGS

ROOT = Path(__file__).parent.parent
ROOMS = ("schemas", "store", "wire", "producer", "projector", "query", "dashboard", "cli")

FACTS = {
    r"""['"]run['"], ['"]step['"], ['"]pipeline['"]\)""": {"references.py"},
    r"""\(?\{?['"]removed['"], ['"]retracted['"][)}]""": {"cells.py"},
    r"\.encode\(\)\n +except UnicodeEncodeError:\n +return False": {"names.py"},
    r"""name \+ "-wal"\)\n +return""": {"database.py"},
    rf"""['"]({"|".join(setting.variable for setting in SETTINGS.values())})['"]""": {"settings.py"},
}


@pytest.mark.parametrize("written", FACTS)
def test_a_fact_has_one_home(written: str) -> None:
    found = {
        path.name
        for room in ROOMS
        for path in (ROOT / room / "runlore").rglob("*.py")
        if re.search(written, path.read_text())
    }
    assert found == FACTS[written]


def test_commands_print_through_one_module() -> None:
    entry = {"__init__.py"}  # works without click
    found = {
        path.name
        for path in (ROOT / "cli" / "runlore").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in ("click.echo", "click.secho", "click.style", "print")
    }
    assert found - entry == {"output.py"}


def test_words_that_only_we_would_use_are_not_written() -> None:
    words = re.compile(r"first\s+named|so\s+many|anew|stands\s+at|level\s+with\s+the\s+log", re.IGNORECASE)
    files = [path for room in ("query", "cli", "dashboard") for path in (ROOT / room / "runlore").rglob("*.*")]
    files += [ROOT / "docs" / name for name in ("filters.md", "live.md", "json.md", "errors.md")]
    texts = {path: path.read_text() for path in files if path.suffix in (".py", ".html", ".js", ".css", ".md", ".lark")}
    assert {path.name: words.findall(text) for path, text in texts.items() if words.search(text)} == {}


@pytest.mark.parametrize("room", ["query", "cli", "dashboard"])
def test_no_class_name_is_given_twice_in_a_room(room: str) -> None:
    names = [
        node.name
        for path in (ROOT / room / "runlore").rglob("*.py")
        for node in ast.parse(path.read_text()).body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    ]
    assert sorted({name for name in names if names.count(name) > 1}) == []
