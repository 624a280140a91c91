"""The pages that teach are true: the blocks of README.md and docs/logging.md run as written, in order, on a fresh stack."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

import runlore
from runlore import Client, add_note
from runlore.cli.stack import EmbeddedStack
from runlore.schemas import Settings, read_settings
from tests.page_blocks import Block, blocks, run_blocks

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """A reader's: in a folder with nothing set, where `runlore up` runs."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RUNLORE_DATA_DIR")
    return read_settings()


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_every_block_of_the_logging_page_prints_what_the_page_shows(stack: EmbeddedStack, tmp_path: Path) -> None:
    run_blocks(ROOT / "docs" / "logging.md", tmp_path)


@pytest.mark.timeout(300)
def test_every_block_of_the_readme_runs_as_written_and_prints_what_it_shows(
    stack: EmbeddedStack, tmp_path: Path
) -> None:
    run_blocks(README, tmp_path, before=sign_what_a_bundle_needs)


def sign_what_a_bundle_needs(block: Block) -> None:
    """The projector signs within a minute, or after 1,000 events: do not wait for the minute."""
    if "audit bundle" not in block.code:
        return
    with Client() as client:
        needed = client.position
        for number in range(1000):
            add_note(f"filler {number}", "artifact:filler")
        while (newest := client.audit_state().checkpoint) is None or newest.size <= needed:
            time.sleep(0.1)


def test_the_make_targets_of_the_readme_exist() -> None:
    makefile = (ROOT / "Makefile").read_text()
    targets = re.findall(r"^\$ make (\w+)", README.read_text(), re.MULTILINE)
    assert len(targets) >= 2
    assert [target for target in targets if not re.search(rf"^{target}:", makefile, re.MULTILINE)] == []


def test_the_first_example_of_the_readme_has_one_import_line_from_runlore() -> None:
    first = next(block.code for block in blocks(README) if block.language == "python")
    imports = [line for line in first.splitlines() if line.startswith(("from runlore", "import runlore"))]
    assert len(imports) == 1
    assert {name.strip() for name in imports[0].split(" import ")[1].split(",")} <= set(runlore.__all__)
