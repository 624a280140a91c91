"""Lines to paste into another terminal, so that the commands shown there work."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path

from runlore.schemas.visible import visible


def exports(folder: Path) -> list[str]:
    """The `export` lines that another terminal needs: for `runlore` itself, and for the data folder.

    Empty where `runlore` is on the PATH and `folder` is the default, ./.runlore.
    """
    lines: list[str] = []
    program = Path(sys.executable).parent / "runlore"
    if shutil.which("runlore") is None and os.access(program, os.X_OK):
        lines.append(f'export PATH={quoted(program.parent)}:"$PATH"')
    if folder != Path.cwd() / ".runlore":
        lines.append(f"export RUNLORE_DATA_DIR={quoted(folder)}")
    return lines


def quoted(path: Path) -> str:
    """A path as one word of a shell's command line, in characters that a terminal shows."""
    word = shlex.quote(str(path))
    if visible(word) == word:
        return word
    plain = (chr(byte) if chr(byte).isalnum() and byte < 128 else f"\\0{byte:03o}" for byte in os.fsencode(path))
    return f"\"$(printf %b '{''.join(plain)}')\""
