"""Runs the code blocks of a page of docs in order, and compares what they print with what the page shows."""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

_BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```\n(?:\n```text\n(.*?)^```\n)?", re.DOTALL | re.MULTILINE)


class Block(NamedTuple):
    """A block of code; `shown` is the output below it, if the page shows one."""

    language: str
    code: str
    shown: str | None


def blocks(page: Path, section: str | None = None) -> list[Block]:
    """The Python and shell blocks of a page, or of one section of it, in order."""
    text = page.read_text()
    if section is not None:
        text = text.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
        assert text, section
    return [Block(language, code, shown or None) for language, code, shown in _BLOCK.findall(text)]


def run_blocks(
    page: Path, folder: Path, before: Callable[[Block], None] = lambda block: None, section: str | None = None
) -> None:
    """Run the blocks of a page, or of one section, after `before`: Python ones in one namespace, shell ones with `runlore` on the PATH.

    `folder` is the current folder; a folder `bin` is made in it.
    """
    program = folder / "bin" / "runlore"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m runlore.cli "$@"\n')
    program.chmod(0o755)
    names: dict[str, Any] = {"__name__": "__main__"}
    for block in blocks(page, section):
        before(block)
        printed = _python(block.code, names) if block.language == "python" else _shell(block.code, program.parent)
        assert block.shown in (None, printed), f"{block.code}\nprinted:\n{printed}"


def _python(code: str, names: dict[str, Any]) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(code, names)
    return printed.getvalue()


def _shell(code: str, programs: Path) -> str:
    environ = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    done = subprocess.run(["bash", "-euo", "pipefail", "-c", code], env=environ, capture_output=True, text=True)
    assert done.returncode == 0, (code, done.stdout, done.stderr)
    return done.stdout
