"""The docs are true: generated pages are current, and every setting and guarantee is where it should be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from docs.generate import events_page, tools_page, with_settings
from runlore.query.find.parse import parse
from runlore.schemas import SETTINGS

ROOT = Path(__file__).parent.parent


def test_the_event_reference_is_current() -> None:
    assert (ROOT / "docs" / "events.md").read_text() == events_page(), "run `make docs`"


def test_the_list_of_tools_for_agents_is_current() -> None:
    assert (ROOT / "docs" / "mcp.md").read_text() == tools_page(), "run `make docs`"


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


PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")] + sorted(
    (ROOT / "docs").glob("*.md")
)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_to_a_file_and_heading_that_exist(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]*)(?:#([^)]+))?\)", page.read_text())
    broken = [link for link in links if link[0] and not (page.parent / link[0]).exists()]
    for name, heading in links:
        target = page.parent / name if name else page
        if heading and target.suffix == ".md" and heading not in headings(target):
            broken.append((name, heading))
    assert broken == []


def headings(page: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    titles = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_row_of_a_table_has_as_many_cells_as_its_head(page: Path) -> None:
    tables = re.findall(r"(?:^\|.*\n)+", page.read_text(), re.MULTILINE)
    # A cell may show a pipe: escaped, or as one in code.
    counts = [{len(re.findall(r"(?<!\\)\|", row)) for row in table.splitlines()} for table in tables]
    assert [table.splitlines()[0] for table, count in zip(tables, counts, strict=True) if len(count) != 1] == []


def test_the_walk_of_one_event_names_files_and_functions_that_exist() -> None:
    page = (ROOT / "docs" / "architecture.md").read_text().split("## One event, file by file")[1].split("\n## ")[0]
    steps = re.findall(r"^\| \d+ \| (\w+) \| `([\w/]+\.py)` \| `(\w+)` \| (.*) \|$", page, re.MULTILINE)
    assert len(steps) == page.count("\n| ") - 1 > 20
    for room, file, name, text in steps:
        folder = ROOT / room / "runlore" / room
        assert re.search(rf"(def|class) {name}\b", (folder / file).read_text()), (file, name)
        for other in re.findall(r"`([\w/]+\.(?:py|html|js))`", text):
            # Of this room, or of the one that the text names.
            assert (folder / other).exists() or list(ROOT.glob(f"*/runlore/*/{other}")), other


def test_every_filter_of_the_filters_page_parses() -> None:
    page = (ROOT / "docs" / "filters.md").read_text()
    table = re.findall(r"^\| `([^|]+?)` \|", page, re.MULTILINE)
    inline = re.findall(r"`([a-z]+(?: not)? (?:[<>=!]+|in|like) [^`]+|\w+:\w+:[^`]+)`", page)
    shown = re.findall(r'find\("model", "([^"]+)"\)', page)
    examples = [text for text in (*table, *inline, *shown) if text != "key:op:value"]
    assert len(examples) >= 22
    assert all(parse(text) is not None for text in examples)
