"""The dashboard's sources stay readable: short lines, one meaning for each name, and the words of the field."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

ROOM = Path(__file__).parents[2] / "dashboard" / "runlore" / "dashboard"
SCRIPTS = sorted(ROOM.glob("static/*.js"))
STYLES = sorted(ROOM.glob("static/*.css"))
TEMPLATES = sorted(ROOM.glob("templates/*.html"))
MODULES = sorted(ROOM.rglob("*.py"))

WIDTH = 120
AVOIDED = (
    "first named", "level with", "no word", "as known", "was known", "what it says", "producer said", "there yet",
    "perhaps you", "links far", "nothing fits", "so many", "anew", "as well", "shall",
)  # fmt: skip
"""Turns of phrase that no engineer would write."""
OPERATORS = {"audit.html", "event.html", "quarantine.html"}
"""Pages for operators, which explain the words of the log."""
OF_THE_LOG = re.compile(r"\b(position|fold|folded|leaf|leaves|epoch)\b")


def test_lines_of_scripts_styles_and_templates_have_at_most_120_characters() -> None:
    assert all((SCRIPTS, STYLES, TEMPLATES))
    lines = (
        (path.name, number, line)
        for path in (*SCRIPTS, *STYLES, *TEMPLATES)
        for number, line in enumerate(path.read_text().splitlines(), 1)
    )
    assert [line[:2] for line in lines if len(line[2]) > WIDTH] == []


def test_every_script_is_used() -> None:
    sources = "\n".join(path.read_text() for path in (*SCRIPTS, *TEMPLATES))
    assert [path.name for path in SCRIPTS if f"/{path.name}" not in sources] == []


def named_types(path: Path) -> Iterator[str]:
    """Classes of a module, and its type aliases."""
    for node in ast.parse(path.read_text()).body:
        match node:
            case ast.ClassDef(name=name):
                yield name
            case ast.Assign(targets=[ast.Name(id=name)]) if re.fullmatch(r"_?[A-Z][a-z]\w*", name):
                yield name
            case _:
                pass


def test_no_type_name_means_two_things_in_the_room() -> None:
    places = defaultdict[str, list[str]](list)
    for path in MODULES:
        for name in named_types(path):
            places[name].append(path.name)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


def docstrings(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
            yield ast.get_docstring(node) or ""


def test_docstrings_begin_with_a_verb_or_name_the_thing() -> None:
    opening = re.compile(r"(What|Whether|How|Where|Which|Who|That|It|Says|So that)\b")
    found = [(path.name, text.splitlines()[0]) for path in MODULES for text in docstrings(path) if opening.match(text)]
    assert found == []


def shown(path: Path) -> str:
    """The text of a template: without comments, statements, expressions, tags and attributes of data."""
    text = re.sub(r"\{#.*?#\}|\{%.*?%\}|\{\{.*?\}\}|data-\w+=", " ", path.read_text(), flags=re.DOTALL)
    return re.sub(r"\s+", " ", re.sub(r"<[^>]*>", " ", text)).lower()


def test_pages_speak_the_words_of_the_field() -> None:
    texts = {path.name: shown(path) for path in TEMPLATES}
    assert [(name, word) for name, text in texts.items() for word in AVOIDED if word in text] == []
    assert [name for name, text in texts.items() if name not in OPERATORS and OF_THE_LOG.search(text)] == []
