"""Lines to paste into another terminal, so that the commands shown there work."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path


def exports(folder: Path) -> list[str]:
    """The `export` lines that another terminal needs: for `runlore` itself, and for the data folder.

    Empty where `runlore` is on the PATH and `folder` is the default, ./.runlore.
    """
    lines: list[str] = []
    program = Path(sys.executable).parent / "runlore"
    if shutil.which("runlore") is None and os.access(program, os.X_OK):
        lines.append(f'export PATH={shlex.quote(str(program.parent))}:"$PATH"')
    if folder != Path.cwd() / ".runlore":
        lines.append(f"export RUNLORE_DATA_DIR={shlex.quote(str(folder))}")
    return lines
