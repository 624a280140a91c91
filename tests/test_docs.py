"""The docs are true: generated pages are current, and every setting and guarantee is where it should be."""

from __future__ import annotations

import re
from pathlib import Path

from docs.generate import events_page, with_settings
from runlore.query.find.parse import parse
from runlore.schemas import SETTINGS

ROOT = Path(__file__).parent.parent


def test_the_event_reference_is_current() -> None:
    assert (ROOT / "docs" / "events.md").read_text() == events_page(), "run `make docs`"


def test_operations_names_every_setting_as_it_is() -> None:
    page = (ROOT / "docs" / "operations.md").read_text()
    assert with_settings(page) == page, "run `make docs`"
    assert all(setting.variable in page for setting in SETTINGS.values())


def test_every_guarantee_names_a_test_that_exists() -> None:
    named = re.findall(r"`(test_\w+)`", (ROOT / "docs" / "guarantees.md").read_text())
    assert len(named) >= 10
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))
    missing = [name for name in named if f"def {name}(" not in tests]
    assert missing == []


def test_the_readme_shows_the_example_that_the_compose_test_runs() -> None:
    example = (ROOT / "examples" / "quickstart.py").read_text().split('"""', 2)[2].strip()
    assert example in (ROOT / "README.md").read_text()


def test_the_readme_links_to_files_that_exist() -> None:
    links = re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text())
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_every_filter_of_the_filters_page_parses() -> None:
    page = (ROOT / "docs" / "filters.md").read_text()
    table = re.findall(r"^\| `([^|]+?)` \|", page, re.MULTILINE)
    inline = re.findall(r"`([a-z]+(?: not)? (?:[<>=!]+|in|like) [^`]+|\w+:\w+:[^`]+)`", page)
    shown = re.findall(r'find\("model", "([^"]+)"\)', page)
    examples = [text for text in (*table, *inline, *shown) if text != "key:op:value"]
    assert len(examples) >= 22
    assert all(parse(text) is not None for text in examples)
