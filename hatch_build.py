"""What an editable install adds: the folder face/, in a line that Python runs and that type checkers pass over.

Its `runlore/__init__.py` would otherwise hide the other folders' parts of `runlore` from pyright.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class FaceHook(BuildHookInterface):  # type: ignore[type-arg] -- hatchling's parameter is its own configuration class
    """Adds face/ to the path of an editable install."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Leave a `.pth` file with an import line in it."""
        if version == "editable":
            line = f"import sys; sys.path.append({str(Path(self.root) / 'face')!r})\n"
            pth = Path(tempfile.mkdtemp()) / "runlore_face.pth"
            pth.write_text(line, encoding="utf-8")
            build_data["force_include_editable"][str(pth)] = pth.name
