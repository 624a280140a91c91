"""The vocabulary: the field's words in text and names, and one name for one thing."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
ROOMS = ("schemas", "store", "wire", "producer", "projector", "query", "dashboard", "integrations", "cli")
SUFFIXES = {".py", ".pyi", ".md", ".js", ".html", ".css", ".sh", ".toml", ".yaml"}

LISTS = {"test_vocabulary.py", "test_scripts.py"}
"""Tests that list phrases."""

PHRASES = re.compile(r"\b(first named|so many|anew|stands at|level with the log)\b", re.IGNORECASE)
"""Phrases that no engineer would write."""
NAMES = re.compile(r"_?(whens|happenings|said|turn|bury|revive|as_time|stand|mind)|asked_\w+")
"""Names with a term of the field: moments, activity, envelope, lock, dead letters, selection, state."""
AMBIGUOUS = ("Row", "Place", "Change", "Where", "Snapshot", "Live", "Step")
"""Type names that meant several things."""


def files(*folders: str) -> Iterator[tuple[str, Path]]:
    """Text files of ours below the folders, by their paths from the root."""
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*") if folder else ROOT.glob("*")):
            name = path.relative_to(ROOT).as_posix()
            if path.is_file() and path.suffix in SUFFIXES and path.name not in LISTS:
                yield name, path


def type_names(path: Path) -> Iterator[str]:
    """Classes and type aliases of a module, without the underscore of private ones."""
    for node in ast.parse(path.read_text()).body:
        match node:
            case ast.ClassDef(name=name) | ast.Assign(targets=[ast.Name(id=name)]):
                yield name.removeprefix("_")
            case _:
                pass


def test_no_text_has_a_phrase_that_no_engineer_would_write() -> None:
    found = [
        (name, number, match[0])
        for name, path in files("", "docs", "tests", "benchmarks", "examples", "face", *ROOMS)
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for match in PHRASES.finditer(line)
    ]
    assert found == []


def test_names_use_the_terms_of_the_field() -> None:
    found = [
        (name, token.start[0], token.string)
        for name, path in files("tests", "benchmarks", "examples", "face", *ROOMS)
        if path.suffix == ".py"
        for token in tokenize.generate_tokens(io.StringIO(path.read_text()).readline)
        if token.type == tokenize.NAME and NAMES.fullmatch(token.string)
    ]
    assert found == []


def test_a_type_name_means_one_thing_in_all_rooms() -> None:
    places = defaultdict[str, list[str]](list)
    for name, path in files(*ROOMS):
        if path.suffix == ".py":
            for found in set(type_names(path)) & set(AMBIGUOUS):
                places[found].append(name)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}


@pytest.mark.parametrize("room", ROOMS)
def test_no_type_name_stands_for_two_things_in_one_room(room: str) -> None:
    if room == "integrations":
        pytest.skip("each adapter is a room of its own: its callback is called as its host's users expect")
    places = defaultdict[str, list[str]](list)
    for name, path in files(room):
        if path.suffix == ".py":
            for found in {found for found in type_names(path) if re.fullmatch(r"[A-Z][a-z]\w*", found)}:
                places[found].append(name)
    assert {name: found for name, found in places.items() if len(found) > 1} == {}
