"""One fact has one home, one name means one thing, commands print in one way: held by reading our own sources."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from runlore.schemas import SETTINGS

ROOT = Path(__file__).parent.parent
ROOMS = ("schemas", "store", "wire", "producer", "projector", "query", "dashboard", "integrations", "cli")

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
